"""Drops wrong answers, and completions that give none. A prompt without a gold answer passes, and so does a program,
which only the filter `code` can verify: verification does not apply to them.

Words and numbers are compared here; formulas are handed to math-verify. What could not be judged is a verifier error,
dropped under its own reason: it is never counted as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from qstar_core.answers import choice_letter, final_answer, is_choice, same_answer
from qstar_core.filters.base import Candidate, Filter, Judgement, Options
from qstar_core.filters.context import FilterContext
from qstar_core.filters.verifier import Equality, Verifier, is_mathematics
from qstar_core.records import Prompt

Method = Literal["auto", "words", "math", "choice", "exact", "regex"]
NO_ANSWER, WRONG, ERROR = "no answer", "wrong answer", "verifier error"


class AnswerOptions(Options):
    method: Method = Field("auto", description="auto decides by gold answer and question")
    pattern: str | None = Field(None, description="For regex: its first group, in its last match, is the answer")
    processes: int = Field(1, ge=1, le=64, description="Processes of math-verify")
    timeout: float = Field(5, gt=0, le=600, description="Seconds for one formula; then its process is killed")
    memory_mb: int = Field(4096, ge=512, description="Memory of such a process")

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups < 1:
            raise ValueError("the pattern needs a group around the answer")
        return pattern

    @model_validator(mode="after")
    def _pattern_where_needed(self) -> AnswerOptions:
        if (self.method == "regex") != (self.pattern is not None):
            raise ValueError("pattern belongs to method: regex")
        return self


class AnswerFilter(Filter[AnswerOptions]):
    name = "answer"
    options = AnswerOptions

    def __init__(self, options: AnswerOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._pattern = re.compile(options.pattern) if options.pattern else None
        self._verifier = Verifier(options.processes, options.timeout, options.memory_mb)

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        """Everything simple at once; the formulas of a block in one go."""
        found: list[Judgement] = []
        formulas: list[tuple[int, tuple[str, str]]] = []
        for index, candidate in enumerate(candidates):
            judgement, formula = self._compare(candidate.prompt, candidate.sample.completion)
            found.append(judgement)
            if formula is not None:
                formulas.append((index, formula))
        equal = self._verifier.compare([formula for _, formula in formulas])
        for (index, _), equality in zip(formulas, equal, strict=True):
            found[index] = {Equality.SAME: None, Equality.DIFFERENT: WRONG, Equality.ERROR: ERROR}[equality]
        return found

    def judge(self, candidate: Candidate) -> Judgement:
        return self.judge_many([candidate])[0]

    def close(self) -> None:
        self._verifier.close()

    def _compare(self, prompt: Prompt, completion: str) -> tuple[str | None, tuple[str, str] | None]:
        """The reason, if it can be told at once, or the pair (given, gold) that math-verify is to compare."""
        gold = prompt.answer
        if gold is None or prompt.kind == "code":
            return None, None
        method = self._method(prompt, gold)
        given = self._given(method, completion)
        if given is None:
            return NO_ANSWER, None
        if method in ("exact", "regex"):
            return (None if " ".join(given.split()) == " ".join(gold.split()) else WRONG), None
        if method == "choice":
            return (None if given == gold.strip().strip("().").upper() else WRONG), None
        if same_answer(given, gold):
            return None, None
        if method == "math" or (method == "auto" and is_mathematics(given, gold)):
            return None, (given, gold)
        return WRONG, None

    def _method(self, prompt: Prompt, gold: str) -> Method:
        if self._options.method == "auto" and ("choices" in prompt.meta or is_choice(prompt.question, gold)):
            return "choice" if len(gold.strip().strip("().")) == 1 else "auto"
        return self._options.method

    def _given(self, method: Method, completion: str) -> str | None:
        if method == "choice":
            return choice_letter(completion)
        if method == "exact":
            return completion.strip() or None
        if self._pattern is not None:
            matches = list(self._pattern.finditer(completion))
            return matches[-1][1] if matches else None
        return final_answer(completion)
