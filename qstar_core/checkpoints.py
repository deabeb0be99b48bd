"""Trained students on an object store, immutable once their `checkpoint.json` is there, and the hash of their files.

`checkpoints/<line>/<id>/<file>`: the files first, `checkpoint.json` last by a conditional write, so that a reader sees
a whole checkpoint or none. What comes back is compared with the recorded hashes. Safetensors only.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from qstar_core.config import Name
from qstar_core.errors import ConfigError, ConflictError, IntegrityError, ModelError, NotFoundError, StoreError
from qstar_core.home import subfolder
from qstar_core.records import Checkpoint, FileRef, JsonObject, content_hash
from qstar_core.store.integrity import CHUNK, download_verified, sha256_file, store_file
from qstar_core.store.objects import ObjectStore

ADAPTER = "adapter_config.json"
DECISIVE = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*.json",
    "tokenizer.model", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.*",
    ADAPTER,
)
_RECORD = "checkpoint.json"
_LINE: TypeAdapter[str] = TypeAdapter(Name)


def checkpoint_hash(path: Path) -> str:
    """SHA-256 over the names and contents of the files that decide what the checkpoint samples."""
    digest = hashlib.sha256()
    for file in decisive_files(path):
        digest.update(f"{file.name}\x00{file.stat().st_size}\x00".encode())
        with file.open("rb") as stream:
            while block := stream.read(CHUNK):
                digest.update(block)
    return digest.hexdigest()


def decisive_files(path: Path) -> list[Path]:
    files = sorted({file for pattern in DECISIVE for file in path.glob(pattern)})
    if not any(file.suffix == ".safetensors" for file in files):
        raise ModelError(f"{path} has no safetensors weights", "give a safetensors checkpoint; pickles are refused")
    return files


def save_checkpoint(store: ObjectStore, folder: Path, *, line: str, recipe: str, settings: JsonObject,
                    metrics: Mapping[str, float], parents: tuple[str, ...] = (),
                    dataset_version: str | None = None) -> Checkpoint:
    """Upload a model folder. The same files made from the same things have the same id; the first to be saved stays."""
    files = {file.name: (file, sha256_file(file)) for file in decisive_files(folder)}
    made_from = {"recipe": recipe, "settings": settings, "parents": list(parents), "dataset_version": dataset_version,
                 "files": {name: sha256 for name, (_, sha256) in files.items()}}
    checkpoint_id = content_hash(made_from)[:16]
    key = checkpoint_key(line, checkpoint_id)
    refs = tuple(store_file(store, f"{key}/{name}", file) for name, (file, _) in files.items())
    made = Checkpoint(
        uri=store.locate(key), sha256=checkpoint_hash(folder), parents=parents, dataset_version=dataset_version,
        id=checkpoint_id, line=line, recipe=recipe, settings=settings, code_version=version("qstar"),
        metrics=dict(metrics), created=datetime.now(UTC).isoformat(timespec="seconds"), files=refs)
    try:
        store.write(f"{key}/{_RECORD}", made.model_dump_json(indent=1).encode(), if_absent=True)
    except ConflictError:
        return read_checkpoint(store, line, checkpoint_id)
    return made


def checkpoint_key(line: str, checkpoint_id: str) -> str:
    try:
        return f"checkpoints/{_LINE.validate_python(line)}/{checkpoint_id}"
    except ValidationError:
        raise ConfigError(f"student.line {line!r:.80} cannot be a name",
                          "use up to 64 small letters, digits, '.', '_' and '-'") from None


def pointer_key(line: str) -> str:
    """Where the promoted student of a line is named."""
    return f"students/{line}/latest.json"


def read_checkpoint(store: ObjectStore, line: str, checkpoint_id: str) -> Checkpoint:
    key = f"{checkpoint_key(line, checkpoint_id)}/{_RECORD}"
    try:
        return Checkpoint.model_validate_json(store.read(key))
    except NotFoundError:
        known = ", ".join(made.id for made in list_checkpoints(store, line)) or "none yet"
        raise NotFoundError(f"line {line} has no checkpoint {checkpoint_id!r:.80}", f"there are: {known}") from None
    except ValidationError:
        raise IntegrityError(f"{store.locate(key)} is not a checkpoint reference",
                             "remove it, and train the checkpoint again") from None


def record_beside(folder: Path) -> Checkpoint | None:
    """The record of a checkpoint that lies in a folder of this machine; None for a model of another origin."""
    path = folder.expanduser() / _RECORD
    if not path.is_file():
        return None
    try:
        return Checkpoint.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise IntegrityError(f"{path} is not a checkpoint reference",
                             "remove it, or name the checkpoint by its id") from None


def list_checkpoints(store: ObjectStore, line: str) -> tuple[Checkpoint, ...]:
    """The whole ones, oldest first."""
    return tuple(sorted(_listed(store, line), key=lambda made: (made.created, made.id)))


def _listed(store: ObjectStore, line: str) -> Iterator[Checkpoint]:
    prefix = checkpoint_key(line, "")
    for info in store.list(prefix):
        checkpoint_id, _, file = info.key.removeprefix(prefix).partition("/")
        if file == _RECORD:
            yield read_checkpoint(store, line, checkpoint_id)


def fetch_checkpoint(store: ObjectStore, checkpoint: Checkpoint) -> Path:
    """A local folder with the checkpoint's files, below home; it appears whole, and only with the recorded hash."""
    folder = subfolder("checkpoints") / checkpoint.line / checkpoint.id
    if _whole(folder, checkpoint):
        return folder
    part = folder.with_name(f".{checkpoint.id}.{uuid.uuid4().hex}.part")
    try:
        part.mkdir(parents=True)
        for ref in checkpoint.files:
            download_verified(store, ref, part / _name(store, checkpoint, ref))
        if not checkpoint.files or checkpoint_hash(part) != checkpoint.sha256:
            raise IntegrityError(f"the files of {checkpoint.uri} are not those of its record",
                                 "promote or train another checkpoint")
        _replace(folder, part, checkpoint)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}",
                         "make room there, or set QSTAR_HOME") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _whole(folder: Path, checkpoint: Checkpoint) -> bool:
    there = all((folder / Path(ref.key).name).is_file() for ref in checkpoint.files)
    return bool(checkpoint.files) and there and checkpoint_hash(folder) == checkpoint.sha256


def _name(store: ObjectStore, checkpoint: Checkpoint, ref: FileRef) -> str:
    """The file's name; a record that names files elsewhere is not one of ours."""
    folder, _, name = ref.key.rpartition("/")
    if folder != checkpoint_key(checkpoint.line, checkpoint.id) or name in ("", ".", ".."):
        raise IntegrityError(f"the record of {checkpoint.uri} names {store.locate(ref.key)}",
                             "promote or train another checkpoint")
    return name


def _replace(folder: Path, part: Path, checkpoint: Checkpoint) -> None:
    """A damaged copy goes; a whole one that another process has put there meanwhile stays."""
    damaged = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    if folder.exists() and not _whole(folder, checkpoint):
        folder.rename(damaged)
    try:
        part.rename(folder)
    except OSError:
        if not _whole(folder, checkpoint):
            raise
    finally:
        shutil.rmtree(damaged, ignore_errors=True)
