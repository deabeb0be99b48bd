"""What a setting calls a model → a local checkpoint and the hash of everything that decides what it samples.

A name is a folder, a hub id, `builtin:NAME` (made or unpacked here on first use), or, for a student, `latest`: the
promoted student of its line, recorded by hash when the round is planned. A folder with an adapter_config.json is an
adapter: its base is fetched beside it, and the hash covers both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from qstar_core.checkpoints import ADAPTER, DECISIVE, checkpoint_hash, fetch_checkpoint, pointer_key
from qstar_core.config import Settings, StudentSettings
from qstar_core.engine.hf import download_checkpoint
from qstar_core.errors import ModelError, NotFoundError
from qstar_core.home import model_cache
from qstar_core.records import AdapterRef, Checkpoint, ModelRef, content_hash
from qstar_core.store.objects import ObjectStore
from qstar_core.tiny.build import build_pair
from qstar_core.tiny.sizes import NAMES
from qstar_core.tiny.smollm2 import unpack_smollm2

LATEST = "latest"
Progress = Callable[[str, int, int], None]

_OTHER_SIZES = tuple(f"builtin:{name}" for name in NAMES if name.count("-") > 1)

_WITHOUT_WEIGHTS = tuple(pattern for pattern in DECISIVE if "safetensors" not in pattern)


def resolve_models(settings: Settings, store: ObjectStore, on_progress: Progress | None = None) -> dict[str, ModelRef]:
    """`student` and `teacher`, present on this machine."""
    return {
        "student": resolve_student(settings.student, store, on_progress),
        "teacher": resolve(settings.teacher.model, settings.teacher.revision, on_progress),
    }


def resolve_student(settings: StudentSettings, store: ObjectStore, on_progress: Progress | None = None) -> ModelRef:
    name = promoted_student(settings, store) if settings.model == LATEST else settings.model
    return resolve(name, settings.revision, on_progress, settings.base)


def tokenizer_folders(settings: Settings, store: ObjectStore) -> dict[str, Path]:
    """Configuration and tokenizer of both models; of a model on a hub, nothing more is fetched."""
    student = promoted_student(settings.student, store) if settings.student.model == LATEST else settings.student.model
    return {
        "student": _tokenizer_folder(student, settings.student.revision, settings.student.base),
        "teacher": _tokenizer_folder(settings.teacher.model, settings.teacher.revision, None),
    }


def _tokenizer_folder(name: str, revision: str | None, base: str | None) -> Path:
    """An adapter speaks as its base does."""
    path = _locate(name, revision, None, _WITHOUT_WEIGHTS)
    if not (path / ADAPTER).is_file():
        return path
    wanted, base_revision = _base_of(name, path, base)
    return _tokenizer_folder(wanted, base_revision, None)


def resolve(name: str, revision: str | None, on_progress: Progress | None = None, base: str | None = None) -> ModelRef:
    path = _locate(name, revision, on_progress)
    if (path / ADAPTER).is_file():
        return _adapter(name, revision, path, base, on_progress)
    if base is not None:
        raise ModelError(f"student.base is set, but {name} is a full checkpoint, not an adapter", "remove student.base")
    return ModelRef(name=name, path=str(path), revision=revision, sha256=checkpoint_hash(path))


def _adapter(name: str, revision: str | None, path: Path, base: str | None,
             on_progress: Progress | None) -> ModelRef:
    wanted, base_revision = _base_of(name, path, base)
    try:
        under = resolve(wanted, base_revision, on_progress)
    except ModelError as error:
        raise ModelError(f"the base of the adapter {name}: {error.problem}",
                         f"{error.fix}; or set student.base") from None
    if under.adapter is not None:
        raise ModelError(f"{wanted}, the base of the adapter {name}, is an adapter too", "merge it into a checkpoint")
    return ModelRef(
        name=name, path=under.path, revision=revision, sha256=content_hash([under.sha256, checkpoint_hash(path)]),
        adapter=AdapterRef(path=str(path), base=wanted, base_sha256=under.sha256),
    )


def _base_of(name: str, path: Path, base: str | None) -> tuple[str, str | None]:
    """The base that the settings or the adapter name, and its revision."""
    from qstar_core.engine.adapter import adapter_config

    config = adapter_config(path)
    wanted = base or config.base_model_name_or_path
    if not wanted:
        raise ModelError(f"the adapter {name} does not name its base", "set student.base")
    return wanted, config.revision if wanted == config.base_model_name_or_path else None


def present(ref: ModelRef) -> ModelRef:
    """The same checkpoint on this machine, which may not be the one that planned the round."""
    if Path(ref.path).is_dir() and (ref.adapter is None or Path(ref.adapter.path).is_dir()):
        return ref
    found = resolve(ref.name, ref.revision, base=ref.adapter.base if ref.adapter else None)
    if found.sha256 != ref.sha256:
        raise ModelError(f"{ref.name} is another checkpoint here than where the round was planned",
                         "copy the planned one over, or start a new round")
    return found


def promoted_student(settings: StudentSettings, store: ObjectStore) -> str:
    """Where the promoted student of the line is, fetched from the store if it lies there; before the first promotion,
    `student.initial`."""
    try:
        promoted = Checkpoint.model_validate_json(store.read(pointer_key(settings.line)))
    except NotFoundError:
        if settings.initial is None:
            raise ModelError(f"student.model is latest, but line {settings.line!r} has no promoted student",
                             "set student.initial to the model to begin with") from None
        return settings.initial
    except ValidationError:
        raise ModelError(f"{pointer_key(settings.line)} in the store is not a checkpoint reference",
                         "promote the student again") from None
    return str(fetch_checkpoint(store, promoted)) if promoted.files else promoted.uri


def _locate(name: str, revision: str | None, on_progress: Progress | None,
            files: tuple[str, ...] = DECISIVE) -> Path:
    if name.startswith("builtin:"):
        return _builtin(name.removeprefix("builtin:"), on_progress)
    path = Path(name).expanduser()
    if path.is_dir():
        return path.absolute()
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"no checkpoint folder at {name}", "check the path, or give a hub id such as owner/name")
    return download_checkpoint(name, revision, files)


def _builtin(name: str, on_progress: Progress | None) -> Path:
    if name == "smollm2":
        return unpack_smollm2(model_cache())
    if name in NAMES:
        recipe, role = NAMES[name]
        pair = build_pair(model_cache(), on_progress, recipe)
        return pair.student if role == "student" else pair.teacher
    raise ModelError(f"builtin:{name} is unknown", f"use builtin:tiny-student, builtin:tiny-teacher, builtin:smollm2 "
                                                   f"or, of another size, {', '.join(_OTHER_SIZES)}")
