"""Every move of a line's pointer, one immutable record each: `students/<line>/history/<number>.json`.

A record is written before the pointer moves, and only where its number is still free: of two promoters at once one gets
the number. Who dies between record and pointer leaves a move that is pending; whoever comes next completes it.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from qstar_core.checkpoints import pointer_key
from qstar_core.config import Name
from qstar_core.errors import ConfigError, IntegrityError, NotFoundError
from qstar_core.promotion.decision import Decision
from qstar_core.records import Checkpoint, Record
from qstar_core.stages.lines import load_record
from qstar_core.store.objects import ObjectStore

_LINE: TypeAdapter[str] = TypeAdapter(Name)


class Move(StrEnum):
    PROMOTE = "promote"
    FORCE = "force"
    ROLLBACK = "rollback"


class Promotion(Record):
    """`before` is what the pointer held, `restores` the number of the record that a rollback goes back to."""

    number: int
    line: str
    move: Move
    checkpoint: Checkpoint
    before: Checkpoint | None
    decision: Decision | None = None
    reason: str = ""
    restores: int | None = None
    created: str


def checked_line(line: str) -> str:
    try:
        return _LINE.validate_python(line)
    except ValidationError:
        raise ConfigError(f"line {line!r:.80} cannot be a name",
                          "use up to 64 small letters, digits, '.', '_' and '-'") from None


def history_key(line: str, number: int) -> str:
    return f"students/{checked_line(line)}/history/{number}.json"


def lines(store: ObjectStore) -> tuple[str, ...]:
    """Every line that has a student."""
    parts = (info.key.split("/") for info in store.list("students/"))
    return tuple(sorted({one[1] for one in parts if len(one) > 2}))


def history(store: ObjectStore, line: str) -> tuple[Promotion, ...]:
    """Oldest first. IntegrityError where a record is missing or damaged."""
    prefix = f"students/{checked_line(line)}/history/"
    names = [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]
    numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    if numbers != list(range(1, len(numbers) + 1)):
        raise IntegrityError(f"the history of line {line} has a gap: {numbers}", "restore the missing record")
    return tuple(load_record(store, history_key(line, number), Promotion) for number in numbers)


def pointer(store: ObjectStore, line: str) -> tuple[Checkpoint | None, str]:
    """The promoted student and the pointer's etag; None before the first promotion."""
    key = pointer_key(checked_line(line))
    try:
        data, etag = store.read_with_etag(key)
        return Checkpoint.model_validate_json(data), etag
    except NotFoundError:
        return None, ""
    except ValidationError:
        raise IntegrityError(f"{store.locate(key)} is not a checkpoint reference",
                             "remove it, then roll back to the student that shall be promoted") from None
