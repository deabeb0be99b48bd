"""Files and bytes that carry their SHA-256: what goes in returns a FileRef, what comes out is compared with it.

`download_verified` leaves a file only if its hash is the recorded one.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from qstar_core.errors import IntegrityError
from qstar_core.records import FileRef
from qstar_core.store import faults
from qstar_core.store.objects import ObjectStore

CHUNK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Streamed. NotFoundError if there is no such file."""
    with faults.reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_copied(source: str, found: str, sha256: str) -> None:
    """IntegrityError where what was to be copied is not what was recorded."""
    if found != sha256:
        raise IntegrityError(f"{source} has SHA-256 {found[:12]}…, recorded was {sha256[:12]}…",
                             "it was changed since its round was judged: run the round again")


def store_file(store: ObjectStore, key: str, path: Path, *, rows: int | None = None,
               sha256: str | None = None) -> FileRef:
    """Upload a local file and return the reference to it. Who knows its SHA-256 saves a reading."""
    with faults.reading(path):
        ref = FileRef(key=key, sha256=sha256 or sha256_file(path), bytes=path.stat().st_size, rows=rows)
    store.upload(key, path, sha256=ref.sha256)
    return ref


def store_bytes(store: ObjectStore, key: str, data: bytes, *, rows: int | None = None) -> FileRef:
    """Write bytes and return the reference to them."""
    store.write(key, data)
    return FileRef(key=key, sha256=sha256_bytes(data), bytes=len(data), rows=rows)


def download_verified(store: ObjectStore, ref: FileRef, path: Path) -> None:
    """The object into a local file whose hash is that of the reference, or IntegrityError and no file."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unverified")
    try:
        store.download(ref.key, part)
        _compare(store, ref, sha256_file(part))
        with faults.writing(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_verified(store: ObjectStore, ref: FileRef) -> bytes:
    """The bytes whose hash is that of the reference, or IntegrityError."""
    data = store.read(ref.key)
    _compare(store, ref, sha256_bytes(data))
    return data


def _compare(store: ObjectStore, ref: FileRef, found: str) -> None:
    if found != ref.sha256:
        raise IntegrityError(f"{store.locate(ref.key)} has SHA-256 {found[:12]}…, recorded was {ref.sha256[:12]}…",
                             "it is damaged or was replaced: restore it, or remove it if its round can be run again")
