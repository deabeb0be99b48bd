"""Drops completions that betray what only the teacher was shown: they mention a hint, or state the gold answer first
and reason afterwards."""

from __future__ import annotations

import re

from pydantic import Field

from qstar_core.answers import same_answer
from qstar_core.config import LEAK_PHRASES
from qstar_core.filters.base import Candidate, Filter, Options
from qstar_core.filters.context import FilterContext

_STATED = re.compile(r"^\W*(?:so,?\s+)?(?:the\s+)?(?:(?:final|correct)\s+)?answer\b\s*(?:is|was|:|=)?\s*(.+)",
                     re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n")
_LONGEST_OPENING = 400


class HintLeakOptions(Options):
    phrases: tuple[str, ...] = Field(
        LEAK_PHRASES, description="Drops a completion with one of them that the question does not have")
    gold_first: bool = Field(True, description="Drops a completion whose first sentence states the gold answer")
    min_words: int = Field(12, ge=0, description="Words after that sentence from which on the rest is reasoning")


class HintLeakFilter(Filter[HintLeakOptions]):
    name = "hint_leak"
    options = HintLeakOptions
    spreads = True

    def __init__(self, options: HintLeakOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._phrases = tuple(" ".join(phrase.casefold().split()) for phrase in options.phrases)

    def judge(self, candidate: Candidate) -> str | None:
        text = " ".join(candidate.sample.completion.casefold().split())
        question = " ".join(candidate.prompt.question.casefold().split())
        if any(phrase in text and phrase not in question for phrase in self._phrases):
            return "mentions a hint"
        gold = candidate.prompt.answer
        if self._options.gold_first and gold and self._states_first(candidate.sample.completion.strip(), gold):
            return "the answer comes first"
        return None

    def _states_first(self, text: str, gold: str) -> bool:
        opening, *rest = _SENTENCE.split(text[:_LONGEST_OPENING], maxsplit=1)
        after = text[len(opening):].split()
        if not rest or len(after) < self._options.min_words:
            return False
        stated = _STATED.match(opening)
        return same_answer(stated[1] if stated else opening, gold) if stated or len(opening) <= len(gold) + 8 else False
