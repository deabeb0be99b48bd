"""What a caller may hand in as a prompt → Prompt or PromptPair.

A text; a list of messages; a row with a question or messages, and where there are any an answer, a solution, a kind and
meta; a Prompt; or a PromptPair, which is rendered already. Anything else is a DataError that names the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError, RowError
from qstar_core.records import Message, Prompt, PromptPair
from qstar_core.sources.adapters.chat import MESSAGES
from qstar_core.sources.adapters.table import adapter_for
from qstar_core.sources.columns import Columns

Row = Mapping[str, Any]
Input = str | Row | Sequence[Message | Row] | Prompt | PromptPair

_ONE = (str, Mapping, Prompt, PromptPair)
_SOURCE = SourceSettings(path="")
_FORMS = "give a text, a list of messages, or a mapping with question and perhaps answer, solution, kind and meta"


def prompts_of(given: Input | Iterable[Input]) -> list[Prompt | PromptPair]:
    """All of them, in order; one prompt alone is a list of one."""
    several: Iterable[Any] = [given] if isinstance(given, _ONE) else given
    try:
        return [_prompt_of(one, number) for number, one in enumerate(several)]
    except TypeError as error:
        raise DataError(f"the prompts cannot be read: {error}", _FORMS) from None


def _prompt_of(given: Any, number: int) -> Prompt | PromptPair:
    if isinstance(given, Prompt | PromptPair):
        return given
    try:
        if isinstance(given, str):
            return _writable(_from_row({"question": given}))
        if isinstance(given, Mapping):
            return _writable(_from_row(dict(given)))
        if isinstance(given, Sequence):
            return _writable(_from_turns([_turn(turn) for turn in given]))
    except (RowError, DataError) as error:
        problem = error.problem if isinstance(error, DataError) else str(error)
        raise DataError(f"prompt {number}: {problem.removeprefix(': ')}", _FORMS) from None  # there is no path
    raise DataError(f"prompt {number} is a {type(given).__name__}", _FORMS)


def _from_row(row: dict[str, Any]) -> Prompt:
    if odd := next((name for name in row if not isinstance(name, str)), None):
        raise RowError(f"a row has the column {odd!r}, which is no name")
    if {"role", "content"} <= row.keys():
        raise RowError("a single message; a conversation is a list of them, and several prompts are a list of those")
    return adapter_for(_SOURCE, [row]).adapt(Columns(row), _SOURCE)


def _from_turns(turns: list[Any]) -> Prompt:
    return MESSAGES.adapt(Columns({"messages": turns}), _SOURCE)


def _writable(prompt: Prompt) -> Prompt:
    try:
        json.dumps(prompt.model_dump(mode="json"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RowError("the text holds half of a surrogate pair") from None
    return prompt


def _turn(turn: Any) -> Any:
    return turn.model_dump(mode="json") if isinstance(turn, Message) else turn
