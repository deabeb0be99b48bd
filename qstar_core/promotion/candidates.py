"""Students by name: a checkpoint of the line in the store by its id, else what `student.model` could name."""

from __future__ import annotations

from pathlib import Path

from qstar_core.checkpoints import checkpoint_key, fetch_checkpoint, list_checkpoints, record_beside
from qstar_core.config import Settings
from qstar_core.errors import ConfigError
from qstar_core.evaluation.evaluate import own_hash
from qstar_core.models import LATEST, promoted_student, resolve
from qstar_core.promotion.history import checked_line, pointer
from qstar_core.records import Checkpoint, ModelRef
from qstar_core.store.objects import ObjectStore


def candidate(settings: Settings, store: ObjectStore, name: str) -> tuple[ModelRef, Checkpoint]:
    """The model on this machine, and the reference that a pointer would hold."""
    line, base = settings.student.line, settings.student.base
    known = [made for made in list_checkpoints(store, line) if name and made.id.startswith(name)]
    if len(known) > 1 and (exact := [made for made in known if made.id == name]):
        known = exact
    if len(known) > 1:
        raise ConfigError(f"{name!r} begins {len(known)} checkpoints of line {line}",
                          f"name one of: {', '.join(made.id for made in known)}")
    if known:
        found = resolve(str(fetch_checkpoint(store, known[0])), None, base=base)
        return found.model_copy(update={"name": f"{checkpoint_key(line, known[0].id)}"}), known[0]
    found = _named(settings, store, name)
    return found, Checkpoint(uri=_uri(found), sha256=own_hash(found), line=line)


def standing(settings: Settings, store: ObjectStore, new: ModelRef | None = None) -> ModelRef | None:
    """Whom the new student has to beat: the promoted one of the line; before the first promotion the model in use,
    `student.initial` or else `student.model`. None where neither names another model than the new one."""
    student = settings.student
    if pointer(store, student.line)[0] is not None:
        return resolve(promoted_student(student, store), None, base=student.base)
    for name, revision in ((student.initial, None), (student.model, student.revision)):
        if name is not None and name != LATEST:
            found = resolve(name, revision, base=student.base)
            if new is None or found.sha256 != new.sha256:
                return found
    return None


def line_of(name: str, line: str, asked: bool) -> str:
    """The line to promote in: that of the checkpoint, where `name` is the folder of one and no other was asked for."""
    made = record_beside(Path(name))
    if made is None or made.line in ("", line):
        return line
    if asked:
        raise ConfigError(f"{name} is a checkpoint of line {made.line}, and student.line is {line}",
                          f"promote it with --line {made.line}, or train one for line {line}")
    return checked_line(made.line)


def _named(settings: Settings, store: ObjectStore, name: str) -> ModelRef:
    student = settings.student
    if name == LATEST:
        return resolve(promoted_student(student, store), None, base=student.base)
    return resolve(name, student.revision if name == student.model else None, base=student.base)


def _uri(found: ModelRef) -> str:
    """A folder by its whole path, so that it is found from anywhere."""
    path = Path(found.name).expanduser()
    return str(path.absolute()) if path.is_dir() else found.name
