"""How a row becomes a prompt: one small function a dataset family. It raises RowError for a row it cannot use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from qstar_core.answers import last_boxed
from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.records import JsonObject, Message, Prompt, Role

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_QUESTIONS = ("question", "problem", "prompt", "instruction", "query", "text")
_ANSWERS = ("answer", "gold", "target", "final_answer")
_SOLUTIONS = ("solution", "rationale", "worked_solution")

Columns = dict[str, Any]
Adapter = Callable[[Columns, SourceSettings], Prompt]


def question_answer(row: Columns, settings: SourceSettings) -> Prompt:
    """A question column, and where present an answer and a worked solution."""
    return _prompt(
        row, settings, question=_text(row, settings.prompt_field, _QUESTIONS, needed=True),
        answer=_text(row, settings.answer_field, _ANSWERS), solution=_text(row, settings.solution_field, _SOLUTIONS),
    )


def gsm8k(row: Columns, settings: SourceSettings) -> Prompt:
    """GSM8K: the worked solution, `####`, and the final answer in one column."""
    worked = _text(row, settings.answer_field, ("answer",), needed=True) or ""
    solution, mark, final = worked.rpartition("####")
    if not mark:
        raise RowError("the answer has no #### mark")
    if not final.strip():
        raise RowError("nothing follows the #### mark")
    return _prompt(row, settings, question=_text(row, settings.prompt_field, ("question",), needed=True),
                   answer=final.strip().replace(",", ""), solution=_CALCULATOR.sub("", solution).strip())


def math(row: Columns, settings: SourceSettings) -> Prompt:
    """MATH, DeepScaleR, NuminaMath: a problem, a solution with `\\boxed{}`, and perhaps the answer by itself."""
    solution = _text(row, settings.solution_field, ("solution",))
    answer = _text(row, settings.answer_field, ("answer",)) or last_boxed(solution or "")
    if not answer:
        raise RowError("no answer column and no \\boxed{} in the solution")
    return _prompt(row, settings, question=_text(row, settings.prompt_field, ("problem", "question"), needed=True),
                   answer=answer, solution=solution)


def messages(row: Columns, settings: SourceSettings) -> Prompt:
    """A conversation in the OpenAI form; what follows the last user message is the reference reply."""
    turns = _lowered(row).get((settings.prompt_field or "messages").lower())
    if not isinstance(turns, list) or not turns:
        raise RowError("the messages column is missing or empty")
    try:
        parsed = [Message(role=Role(turn["role"]), content=turn["content"]) for turn in turns]
    except (KeyError, TypeError, ValueError):
        raise RowError("a message lacks a known role or a text") from None
    last = max((i for i, turn in enumerate(parsed) if turn.role is Role.USER), default=None)
    if last is None:
        raise RowError("the conversation has no user message")
    reply = next((turn.content for turn in parsed[last + 1:] if turn.role is Role.ASSISTANT), None)
    return Prompt.of(tuple(parsed[: last + 1]), answer=_text(row, settings.answer_field, ("answer",)), solution=reply,
                     kind=settings.kind or "chat", source=settings.path)


ADAPTERS: dict[str, Adapter] = {
    "gsm8k": gsm8k,
    "math": math,
    "messages": messages,
    "question_answer": question_answer,
}


def adapter_for(settings: SourceSettings, first_row: Columns) -> tuple[str, Adapter]:
    """The adapter that was asked for, or the one that the columns of the first row name."""
    check_adapter(settings)
    name = _guess(first_row, settings) if settings.adapter == "auto" else settings.adapter
    return name, ADAPTERS[name]


def check_adapter(settings: SourceSettings) -> None:
    if settings.adapter not in ("auto", *ADAPTERS):
        raise ConfigError(f"source.adapter = {settings.adapter!r} is unknown", f"use auto, {', '.join(ADAPTERS)}")


def _guess(row: Columns, settings: SourceSettings) -> str:
    names = _lowered(row)
    if settings.prompt_field is None:
        if isinstance(names.get("messages"), list):
            return "messages"
        if "question" in names and "####" in str(names.get("answer", "")):
            return "gsm8k"
        if "problem" in names and "solution" in names:
            return "math"
        if not any(column in names for column in _QUESTIONS):
            raise DataError(f"no question column among {', '.join(sorted(row)) or 'no columns'}",
                            "name it with source.prompt_field")
    elif settings.prompt_field.lower() not in names:
        raise DataError(f"no column {settings.prompt_field!r} among {', '.join(sorted(row))}",
                        "check source.prompt_field")
    return "question_answer"


def _lowered(row: Columns) -> Columns:
    return {name.lower(): value for name, value in row.items()}


def _text(row: Columns, chosen: str | None, usual: Iterable[str], needed: bool = False) -> str | None:
    """The first of the usual columns, or the chosen one; names compare without case."""
    names = _lowered(row)
    for column in (chosen,) if chosen else usual:
        value = names.get(column.lower())
        if isinstance(value, float) and not isfinite(value):  # how tables write that a number is missing
            continue
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    if needed:
        wanted = chosen or " or ".join(usual)
        raise RowError("the prompt is empty" if any(c.lower() in names for c in ([chosen] if chosen else usual))
                       else f"the column {wanted} is missing")
    return None


def _prompt(row: Columns, settings: SourceSettings, *, question: str | None, answer: str | None,
            solution: str | None) -> Prompt:
    return Prompt.of((Message(role=Role.USER, content=question or ""),), answer=answer, solution=solution,
                     kind=settings.kind or _kind(row), source=settings.path, meta=_meta(row))


def _kind(row: Columns) -> str:
    value = _lowered(row).get("kind")
    return value if isinstance(value, str) and value else "question"


def _meta(row: Columns) -> JsonObject:
    value = _lowered(row).get("meta")
    return dict(value) if isinstance(value, dict) else {}
