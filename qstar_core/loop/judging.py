"""The new student of a round is measured, and takes the line's student's place or does not."""

from __future__ import annotations

import time

from qstar_core.config import Settings
from qstar_core.errors import ConflictError
from qstar_core.evaluation.evaluate import OnProgress, evaluate
from qstar_core.evaluation.score import Score
from qstar_core.evaluation.suite import final_suite
from qstar_core.loop.records import Concluded, Evaluated
from qstar_core.loop.students import current, model_of
from qstar_core.promotion.compare import compare
from qstar_core.promotion.decision import Decision, Outcome
from qstar_core.promotion.history import pointer
from qstar_core.promotion.promote import promote, settle
from qstar_core.records import Checkpoint, ModelRef
from qstar_core.store.objects import ObjectStore


def final_score(settings: Settings, store: ObjectStore, model: ModelRef,
                on_progress: OnProgress | None = None) -> Score:
    """On the problems that never decide."""
    return evaluate(settings, store, model, final_suite(settings, store), on_progress)


def evaluated(settings: Settings, store: ObjectStore, checkpoint: Checkpoint, turn: int,
              on_progress: OnProgress | None = None) -> Evaluated:
    """`turn` names the problems that decide."""
    since = time.monotonic()
    new = model_of(settings, store, checkpoint)
    old, _ = current(settings, store)
    found = compare(settings, store, old, new, str(turn), on_progress=on_progress)
    final = final_score(settings, store, new, on_progress)
    assert found.old is not None  # `current` names a student or raises
    return Evaluated(decision=found.decision, before=found.old.measures, after=found.new.measures,
                     final=final.measures, kl=found.kl, seconds=time.monotonic() - since)


def concluded(store: ObjectStore, line: str, checkpoint: Checkpoint, decision: Decision) -> Concluded:
    """Done again after a kill it finds what was promoted. Where somebody else promoted another student meanwhile, the
    decision holds no more, and the next round begins from theirs."""
    if decision.outcome is Outcome.KEEP:
        return Concluded(promotion=None, told=decision.objections)
    past = settle(store, line)
    if past and past[-1].checkpoint == checkpoint and pointer(store, line)[0] == checkpoint:
        return Concluded(promotion=past[-1].number, told="")
    try:
        made = promote(store, line, checkpoint, decision)
    except ConflictError as error:
        return Concluded(promotion=None, told=error.problem)
    return Concluded(promotion=made.number, told="")


