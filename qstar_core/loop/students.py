"""The student that a loop follows: θ is the line's promoted student in every round."""

from __future__ import annotations

from qstar_core.checkpoints import fetch_checkpoint
from qstar_core.config import Settings
from qstar_core.errors import ModelError
from qstar_core.evaluation.evaluate import own_hash
from qstar_core.models import LATEST, resolve
from qstar_core.promotion.candidates import standing
from qstar_core.promotion.history import pointer
from qstar_core.promotion.promote import settle
from qstar_core.records import Checkpoint, ModelRef
from qstar_core.store.objects import ObjectStore


def following(settings: Settings) -> Settings:
    """A student that is named begins the line; from the first promotion on it is the promoted one."""
    student = settings.student
    if student.model == LATEST:
        return settings
    followed = student.model_copy(update={"model": LATEST, "initial": student.model})
    return settings.model_copy(update={"student": followed})


def current(settings: Settings, store: ObjectStore) -> tuple[ModelRef, Checkpoint]:
    """The line's student on this machine, and its reference; a promotion that was cut off is completed first."""
    line = settings.student.line
    settle(store, line)
    found = standing(settings, store)
    if found is None:
        raise ModelError(f"line {line} has no student to begin with", "set student.initial")
    promoted, _ = pointer(store, line)
    return found, promoted or Checkpoint(uri=found.name, sha256=own_hash(found), line=line)


def model_of(settings: Settings, store: ObjectStore, checkpoint: Checkpoint) -> ModelRef:
    """A referenced student on this machine, with the name that scores and pages show."""
    place = str(fetch_checkpoint(store, checkpoint)) if checkpoint.files else checkpoint.uri
    return resolve(place, None, base=settings.student.base)
