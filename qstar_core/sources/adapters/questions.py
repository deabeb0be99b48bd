"""Schemas with a question in a column of text: GSM8K, mathematics, question/answer, Alpaca, Dolly, query/response,
OpenOrca, bare text.
"""

from __future__ import annotations

from typing import Any

from qstar_core.answers import last_boxed
from qstar_core.config import SourceSettings
from qstar_core.errors import RowError
from qstar_core.records import Prompt
from qstar_core.sources.adapters.base import (
    NOTHING,
    Adapter,
    all_of,
    answer,
    asked,
    prompt,
    question,
    solution,
    words,
)
from qstar_core.sources.columns import Columns, as_text
from qstar_core.sources.golds import after_hashes, has_no_answer, mathematical, stated

QUESTIONS = ("question", "problem", "prompt", "instruction", "query")
_ANSWERS = ("answer", "gold", "target", "final_answer")
_SOLUTIONS = ("solution", "rationale", "worked_solution")


def _rests_on_gsm8k(columns: Columns) -> frozenset[str]:
    fits = "question" in columns and "####" in str(columns.get("answer"))
    return words("question answer") if fits else NOTHING


def _gsm8k(columns: Columns, settings: SourceSettings) -> Prompt:
    """The worked solution, `####`, and the final answer in one column."""
    final, worked = after_hashes(columns.text((settings.answer_field or "answer").lower()) or "")
    return prompt(columns, settings, asked(question(columns, settings, "question")), kind="math", answer=final,
                  solution=worked)


def _math(columns: Columns, settings: SourceSettings) -> Prompt:
    """MATH, DeepScaleR, NuminaMath, OpenR1, AIME: a problem, a solution that boxes its answer, perhaps the answer.
    What the dataset calls a proof has no gold answer."""
    if _marked_wrong(columns.get("problem_is_valid")):
        raise RowError("the dataset marks the problem as invalid")
    worked = solution(columns, settings, "solution")
    if worked is None or _marked_wrong(columns.get("solution_is_valid")):
        worked = _verified_generation(columns)
    told = answer(columns, settings, "answer")
    gold = mathematical(told) or (None if has_no_answer(told) else last_boxed(worked or ""))
    if not gold and not has_no_answer(told):
        raise RowError("no answer column and no \\boxed{} in the solution")
    meta = columns.kept(["level", "type", "subject", "source", "unique_id", "problem_type", "question_type", "year"])
    return prompt(columns, settings, asked(question(columns, settings, "problem", "question")), kind="math",
                  answer=gold, solution=worked, meta=meta)


def _marked_wrong(flag: Any) -> bool:
    """Flags are `Yes`, `No`, `Incomplete`, true or false; no flag is no mark."""
    return flag is False or (isinstance(flag, str) and flag.strip().lower() in ("no", "false", "incomplete", "invalid"))


def _verified_generation(columns: Columns) -> str | None:
    """The first generation that the list beside it calls correct. The lists may be null, short or hold nulls."""
    correct = columns.items("correctness_math_verify") or columns.items("correctness_llama")
    for text, verdict in zip(columns.items("generations"), correct, strict=False):
        if verdict is True and (found := as_text(text)) is not None:
            return found
    return None


def _rests_on_question(columns: Columns) -> frozenset[str]:
    return next((frozenset({name}) for name in QUESTIONS if name in columns), NOTHING)


def _question_answer(columns: Columns, settings: SourceSettings) -> Prompt:
    return prompt(columns, settings, asked(question(columns, settings, *QUESTIONS, "text")), kind="question",
                  answer=answer(columns, settings, *_ANSWERS), solution=solution(columns, settings, *_SOLUTIONS))


def _alpaca(columns: Columns, settings: SourceSettings) -> Prompt:
    return _instruction(columns, settings, "input", "output")


def _dolly(columns: Columns, settings: SourceSettings) -> Prompt:
    return _instruction(columns, settings, "context", "response")


def _instruction(columns: Columns, settings: SourceSettings, extra: str, reply: str) -> Prompt:
    task, added = question(columns, settings, "instruction"), columns.text(extra)
    return prompt(columns, settings, asked(f"{task}\n\n{added}" if added else task, columns.text("system")),
                  kind="instruction", answer=answer(columns, settings, "answer"),
                  solution=solution(columns, settings, reply), meta=columns.kept(["category"]))


def _query_response(columns: Columns, settings: SourceSettings) -> Prompt:
    """MetaMathQA: the response states its answer at the end."""
    response = solution(columns, settings, "response", "completion")
    gold = answer(columns, settings, "answer") or mathematical(stated(response or ""))
    return prompt(columns, settings, asked(question(columns, settings, "query")), kind="question", solution=response,
                  answer=gold, meta=columns.kept(["type"]))


def _rests_on_openorca(columns: Columns) -> frozenset[str]:
    asks = next((name for name in ("question", "prompt") if name in columns), None)
    replies = next((name for name in ("response", "completion") if name in columns), None)
    return frozenset({asks, replies}) if asks and replies else NOTHING


def _openorca(columns: Columns, settings: SourceSettings) -> Prompt:
    """A question, a free response, perhaps a system prompt. What a free response states is not taken for a gold."""
    system = columns.text("system_prompt", "system")
    return prompt(columns, settings, asked(question(columns, settings, "question", "prompt"), system),
                  kind="instruction", answer=answer(columns, settings, "answer"),
                  solution=solution(columns, settings, "response", "completion"))


def _text(columns: Columns, settings: SourceSettings) -> Prompt:
    return prompt(columns, settings, asked(question(columns, settings, "text", "content")), kind="text",
                  answer=answer(columns, settings, *_ANSWERS), solution=solution(columns, settings, *_SOLUTIONS))


def _rests_on_text(columns: Columns) -> frozenset[str]:
    return next((frozenset({name}) for name in ("text", "content") if name in columns), NOTHING)


_RESULT = " ".join((*_ANSWERS, *_SOLUTIONS))
GSM8K = Adapter("gsm8k", _rests_on_gsm8k, words("question answer id"), _gsm8k)
MATH = Adapter("math", all_of("problem", "solution"), words(
    "problem solution answer level type subject source messages unique_id id url year problem_type question_type "
    "problem_is_valid solution_is_valid generations correctness_math_verify correctness_llama prompt text"), _math)
QUESTION_ANSWER = Adapter("question_answer", _rests_on_question, words(f"{' '.join(QUESTIONS)} {_RESULT}"),
                          _question_answer)
ALPACA = Adapter("alpaca", all_of("instruction", "output"), words("instruction input output system text answer id"),
                 _alpaca)
DOLLY = Adapter("dolly", all_of("instruction", "response"), words(
    "instruction context response category system text answer id"), _dolly)
QUERY_RESPONSE = Adapter("query_response", all_of("query", "response"), words(
    "query response completion answer original_question type id text"), _query_response)
OPENORCA = Adapter("openorca", _rests_on_openorca, words(
    "system_prompt system question prompt response completion answer id text"), _openorca)
TEXT = Adapter("text", _rests_on_text, words(f"text content {_RESULT}"), _text)
