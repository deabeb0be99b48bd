"""Moving a line's pointer: forward by a decision, by force with a reason, or back to an earlier student.

The pointer moves by compare-and-swap. A decision holds against the student it was made against: where another one was
promoted meanwhile, the promoter is told, and nothing moves.
"""

from __future__ import annotations

from datetime import UTC, datetime

from qstar_core.checkpoints import pointer_key
from qstar_core.errors import ConfigError, ConflictError, DataError, NotFoundError, NotPromotedError
from qstar_core.promotion.decision import Decision, Outcome
from qstar_core.promotion.history import Move, Promotion, history, history_key, pointer
from qstar_core.records import Checkpoint
from qstar_core.store.objects import ObjectStore

_AGAIN = "compare with the student that is promoted now, and promote again"


def promote(store: ObjectStore, line: str, checkpoint: Checkpoint, decision: Decision,
            force_reason: str | None = None) -> Promotion:
    """Make the checkpoint the line's student. A decision to keep is refused unless a reason to force it is given."""
    if decision.new != checkpoint.sha256:
        raise DataError(f"the decision is about another checkpoint than {checkpoint.uri}", "compare this checkpoint")
    forced = decision.outcome is Outcome.KEEP
    if forced and force_reason is None:
        raise NotPromotedError(f"{checkpoint.uri} does not replace the student of line {line}: {decision.objections}",
                               "keep the old one, or force it with a reason")
    if force_reason is not None and not force_reason.strip():
        raise ConfigError("a forced promotion needs a reason", "say why")
    past = settle(store, line)
    current, etag = pointer(store, line)
    if current is not None and current.sha256 not in ("", decision.old):
        raise ConflictError(f"line {line} has another student than the one that was compared with", _AGAIN)
    return _move(store, current, etag, Promotion(
        number=len(past) + 1, line=line, move=Move.FORCE if forced else Move.PROMOTE,
        checkpoint=checkpoint, before=current, decision=decision, reason=(force_reason or "") if forced else "",
        created=_now()))


def rollback(store: ObjectStore, line: str, number: int, reason: str = "") -> Promotion:
    """Make the student of an earlier record the line's again. Nothing is deleted; the way back is a record too."""
    past = settle(store, line)
    if not 1 <= number <= len(past):
        raise NotFoundError(f"line {line} has no promotion {number}",
                            f"there are: {', '.join(str(one.number) for one in past) or 'none yet'}")
    current, etag = pointer(store, line)
    wanted = past[number - 1].checkpoint
    if current == wanted:
        raise ConfigError(f"promotion {number} is the student of line {line} already", "name another one")
    return _move(store, current, etag, Promotion(
        number=len(past) + 1, line=line, move=Move.ROLLBACK, checkpoint=wanted, before=current, reason=reason,
        restores=number, created=_now()))


def settle(store: ObjectStore, line: str) -> tuple[Promotion, ...]:
    """The history, after the move of somebody who died between record and pointer was completed. A pointer that was set
    by hand stays. The history is read before the pointer: a record that comes later makes the next number taken."""
    past = history(store, line)
    if past:
        current, etag = pointer(store, line)
        if current != past[-1].checkpoint and current == past[-1].before:
            _swap(store, past[-1], current, etag)
    return past


def _move(store: ObjectStore, current: Checkpoint | None, etag: str, wanted: Promotion) -> Promotion:
    try:
        store.write(history_key(wanted.line, wanted.number), wanted.model_dump_json(indent=1).encode(), if_absent=True)
    except ConflictError:
        raise ConflictError(f"another student of line {wanted.line} was promoted at the same time", _AGAIN) from None
    _swap(store, wanted, current, etag)
    return wanted


def _swap(store: ObjectStore, wanted: Promotion, current: Checkpoint | None, etag: str) -> None:
    """Who finds the pointer moved to the same student already was helped by another process."""
    data = wanted.checkpoint.model_dump_json(indent=1).encode()
    try:
        store.write(pointer_key(wanted.line), data, if_absent=current is None, if_match=etag or None)
    except ConflictError:
        if pointer(store, wanted.line)[0] != wanted.checkpoint:
            raise ConflictError(f"the pointer of line {wanted.line} was moved at the same time", _AGAIN) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
