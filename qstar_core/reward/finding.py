"""A reward model as a setting names it: a folder, a hub id, `store:LINE` (the newest of a line) or `store:LINE/ID`."""

from __future__ import annotations

from qstar_core.checkpoints import fetch_checkpoint, list_checkpoints, read_checkpoint
from qstar_core.errors import NotFoundError
from qstar_core.models import resolve
from qstar_core.records import Checkpoint, ModelRef
from qstar_core.store.objects import ObjectStore

PREFIX = "store:"


def find_reward_model(store: ObjectStore, name: str, revision: str | None = None) -> ModelRef:
    """Present on this machine."""
    if not name.startswith(PREFIX):
        return resolve(name, revision)
    line, _, checkpoint_id = name.removeprefix(PREFIX).partition("/")
    if checkpoint_id:
        found = read_checkpoint(store, line, checkpoint_id)
    else:
        there = list_checkpoints(store, line)
        if not there:
            raise NotFoundError(f"line {line!r} of the store has no checkpoint", "train one: qstar reward train")
        found = there[-1]
    return resolve(str(fetch_checkpoint(store, found)), None).model_copy(update={"name": checkpoint_name(found)})


def checkpoint_name(checkpoint: Checkpoint) -> str:
    """What a setting would call it."""
    return f"{PREFIX}{checkpoint.line}/{checkpoint.id}"
