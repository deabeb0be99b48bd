"""A published version → a folder: every file hashed while it is written, and the manifest last.

A file has its name only when its hash is the recorded one; until then it is `<name>.part`, and the next pull goes on
where it ends. `.pull.json` marks a folder whose pull is not finished and holds it to one version and one puller.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from qstar_core.errors import ConflictError, IntegrityError
from qstar_core.records import FileRef
from qstar_core.stages.verifying import OnBytes
from qstar_core.store import faults
from qstar_core.store.integrity import CHUNK, sha256_bytes, sha256_file
from qstar_core.store.keys import check_key
from qstar_core.store.objects import ObjectStore
from qstar_core.store.together import Stop, together
from qstar_core.store.versions import VersionReader

_MARK, _MANIFEST, _PART = ".pull.json", "manifest.json", ".part"


@dataclass(frozen=True, slots=True)
class Pulled:
    """`there` of the files were in the folder before."""

    folder: Path
    version: str
    files: int
    there: int
    bytes: int


def pull(store: ObjectStore, versions: VersionReader, version: str, folder: Path, workers: int,
         on_bytes: OnBytes | None = None) -> Pulled:
    """`on_bytes` hears of bytes that are in place, and of all there are."""
    manifest = versions.manifest(version)
    data = versions.manifest_data(version)
    names = {_name(versions, version, ref): ref for ref in manifest.files}
    _check_latest(versions, version, data)
    total = sum(ref.bytes for ref in manifest.files)
    stop = Stop()

    def told(count: int) -> None:
        stop.check()
        if on_bytes is not None:
            on_bytes(count, total)

    with faults.writing(folder), _claimed(folder, store.locate(versions.key(version)), data):
        there = sum(together(lambda name: _fetch(store, names[name], folder / name, told), names, workers, stop))
        _put(folder / _MANIFEST, data)
    return Pulled(folder, version, len(names), there, total)


def _check_latest(versions: VersionReader, version: str, manifest: bytes) -> None:
    """A pointer that is damaged says nothing of a version that was named."""
    latest = None
    with suppress(IntegrityError):
        latest = versions.latest()
    if latest is not None and latest.version == version and latest.manifest_sha256 != sha256_bytes(manifest):
        raise IntegrityError(f"the manifest of {versions.dataset} {version} is not the one that was made latest",
                             "it was changed since: pull another version")


def _name(versions: VersionReader, version: str, ref: FileRef) -> str:
    """Where the file goes. A manifest is data: no name in it leads out of the folder."""
    name = check_key(ref.key).removeprefix(f"{versions.key(version)}/")
    if name == ref.key or name in (_MANIFEST, _MARK) or name.endswith(_PART):
        raise IntegrityError(f"the manifest of {versions.dataset} {version} lists {ref.key!r:.200}",
                             "it was not written by qstar: pull another version")
    return name


@contextmanager
def _claimed(folder: Path, version: str, manifest: bytes) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mark, wanted = folder / _MARK, sha256_bytes(manifest)
    present = folder / _MANIFEST
    if present.exists() and sha256_file(present) != wanted:
        raise ConflictError(f"{folder} holds another version", "give an empty folder with --out")
    if not mark.exists() and not present.exists() and any(folder.iterdir()):
        raise ConflictError(f"{folder} is not empty and holds no begun pull", "give an empty folder with --out")
    with mark.open("a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"{folder} is being pulled to by another process", "wait for it") from None
        file.seek(0)
        if (held := file.read().strip()) not in ("", f"{version} {wanted}"):
            raise ConflictError(f"{folder} holds the begun pull of {held.split()[0]:.300}",
                                "remove it, or give another folder with --out")
        file.truncate(0)
        file.write(f"{version} {wanted}\n")
        file.flush()
        yield
        mark.unlink(missing_ok=True)


def _fetch(store: ObjectStore, ref: FileRef, path: Path, on_bytes: Callable[[int], None]) -> bool:
    """True where the file was there."""
    with faults.writing(path):
        if path.is_file() and path.stat().st_size == ref.bytes and sha256_file(path) == ref.sha256:
            on_bytes(ref.bytes)
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}{_PART}")
        begun = part.exists()
        found = _filled(store, ref, part, on_bytes)
        if begun and found != ref.sha256:  # what an earlier pull left may be at fault
            part.unlink(missing_ok=True)
            found = _filled(store, ref, part, lambda _: None)
        if found != ref.sha256:
            part.unlink(missing_ok=True)
            raise IntegrityError(f"{store.locate(ref.key)} has SHA-256 {found[:12]}…, recorded was {ref.sha256[:12]}…",
                                 "`qstar datasets verify` names everything that is damaged; pull another version")
        part.replace(path)
    return False


def _filled(store: ObjectStore, ref: FileRef, part: Path, on_bytes: Callable[[int], None]) -> str:
    """The SHA-256 of the part after what it lacks was fetched."""
    digest = hashlib.sha256()
    with part.open("a+b") as file:
        file.seek(0)
        while data := file.read(CHUNK):
            digest.update(data)
            on_bytes(len(data))
        if file.tell() < ref.bytes:
            for data in store.chunks(ref.key, file.tell()):
                digest.update(data)
                file.write(data)
                on_bytes(len(data))
                if file.tell() > ref.bytes:
                    break
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _put(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}{_PART}")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
