"""What an adapter is: a name, the columns that it is known by, those that it accounts for, and a row → a prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qstar_core.config import SourceSettings
from qstar_core.errors import RowError
from qstar_core.records import JsonObject, Message, Prompt, Role
from qstar_core.sources.columns import Columns


@dataclass(frozen=True, slots=True)
class Adapter:
    """`rests_on` names the columns that a row is recognised by, and none where it is not of this schema; `explains` are
    all columns of the schema, so that another schema which rests on some of them is no second reading of the row.
    `adapt` raises RowError for a row that it cannot use."""

    name: str
    rests_on: Callable[[Columns], frozenset[str]]
    explains: frozenset[str]
    adapt: Callable[[Columns, SourceSettings], Prompt]


NOTHING: frozenset[str] = frozenset()


def all_of(*names: str) -> Callable[[Columns], frozenset[str]]:
    wanted = frozenset(names)
    return lambda columns: wanted if wanted <= columns.names else NOTHING


def words(names: str) -> frozenset[str]:
    return frozenset(names.split())


def question(columns: Columns, settings: SourceSettings, *usual: str) -> str:
    """The text of the column that was chosen, or of the first usual one."""
    return columns.needed_text(*((settings.prompt_field.lower(),) if settings.prompt_field else usual))


def answer(columns: Columns, settings: SourceSettings, *usual: str) -> str | None:
    """None where there is none; a gold that cannot be compared with anything is no prompt without a gold."""
    names = (settings.answer_field.lower(),) if settings.answer_field else usual
    found = columns.text(*names)
    if found is None and any(isinstance(columns.get(name), bool) or (isinstance(columns.get(name), dict | list | tuple)
                                                                     and columns.get(name)) for name in names):
        raise RowError("the gold answer is neither a text nor a number")
    return found


def solution(columns: Columns, settings: SourceSettings, *usual: str) -> str | None:
    return columns.text(*((settings.solution_field.lower(),) if settings.solution_field else usual))


def asked(text: str, system: str | None = None) -> tuple[Message, ...]:
    opening = (Message(role=Role.SYSTEM, content=system),) if system else ()
    return (*opening, Message(role=Role.USER, content=text))


def prompt(columns: Columns, settings: SourceSettings, messages: tuple[Message, ...], *, kind: str,
           answer: str | None = None, solution: str | None = None, meta: JsonObject | None = None) -> Prompt:
    """The kind is what the settings say, else the row, else the schema; the row's own `meta` is kept."""
    told = columns.get("kind")
    own = columns.kept(["meta"]).get("meta", {})
    return Prompt.of(messages, answer=answer, solution=solution, source=settings.path,
                     kind=settings.kind or (told if isinstance(told, str) and told else kind),
                     meta={**(meta or {}), **(own if isinstance(own, dict) else {})})
