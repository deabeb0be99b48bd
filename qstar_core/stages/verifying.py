"""A published version against its manifest: every file hashed anew and its rows counted; what is wrong, missing or
too much is named. Files are streamed, so memory holds a block of each file that is being read, and nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qstar_core.errors import IntegrityError, NotFoundError
from qstar_core.plural import counted
from qstar_core.records import FileRef, Manifest
from qstar_core.stages.footers import read_footer
from qstar_core.stages.judged import DATA
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.objects import ObjectStore
from qstar_core.store.together import Stop, together
from qstar_core.store.versions import VersionReader

OnBytes = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`file` is relative to the version, or a key where the file lies elsewhere."""

    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    version: str
    files: int
    bytes: int
    faults: tuple[Fault, ...]


def verify(workspace: Workspace, versions: VersionReader, version: str, on_bytes: OnBytes | None = None) -> Verified:
    """`on_bytes` hears of bytes that were read, and of all there are to read."""
    try:
        manifest = versions.manifest(version)
    except IntegrityError as error:
        return Verified(version, 0, 0, (Fault("manifest.json", error.problem),))
    total = sum(ref.bytes for ref in manifest.files)
    stop = Stop()

    def told(count: int) -> None:
        stop.check()
        if on_bytes is not None:
            on_bytes(count, total)

    def check(ref: FileRef) -> Fault | None:
        problem = _problem(workspace.store, ref, told)
        return Fault(_name(versions, version, ref.key), problem) if problem else None

    found = together(check, manifest.files, workspace.settings.store.s3.max_concurrency, stop)
    faults = [fault for fault in found if fault is not None]
    faults += _of_manifest(workspace.store, versions, version, manifest)
    faults += _extra(workspace.store, versions, manifest)
    return Verified(version, len(manifest.files), total, tuple(sorted(faults, key=lambda fault: fault.file)))


def _problem(store: ObjectStore, ref: FileRef, on_bytes: Callable[[int], None]) -> str | None:
    """What is wrong with one file."""
    digest, size, lines = hashlib.sha256(), 0, 0
    try:
        for data in store.chunks(ref.key):
            digest.update(data)
            size += len(data)
            lines += data.count(b"\n") if ref.key.endswith(".jsonl") else 0
            on_bytes(len(data))
            if size > ref.bytes:
                return f"more than the recorded {ref.bytes:,} bytes"
        if size != ref.bytes:
            return f"{size:,} bytes, recorded were {ref.bytes:,}"
        if digest.hexdigest() != ref.sha256:
            return f"SHA-256 {digest.hexdigest()[:12]}…, recorded was {ref.sha256[:12]}…"
        rows = lines if ref.key.endswith(".jsonl") else _parquet_rows(store, ref)
    except NotFoundError:
        return "missing"
    if rows == -1:
        return "no Parquet file"
    if ref.rows is not None and rows is not None and rows != ref.rows:
        return f"{rows:,} rows, recorded were {ref.rows:,}"
    return None


def _parquet_rows(store: ObjectStore, ref: FileRef) -> int | None:
    if not ref.key.endswith(".parquet"):
        return None
    footer = read_footer(store, ref)
    return -1 if footer is None else int(footer.num_rows)


def _of_manifest(store: ObjectStore, versions: VersionReader, version: str, manifest: Manifest) -> Iterator[Fault]:
    """What the manifest says of itself, and the hash under which `latest` knows it."""
    rows = next((ref.rows for ref in manifest.files if ref.key.endswith(f"/{DATA}")), None)
    if rows != manifest.rows:
        yield Fault("manifest.json", f"{counted(manifest.rows, 'row')}, its {DATA} has {rows}")
    latest = versions.latest()
    if latest is not None and latest.version == version:
        found = sha256_bytes(versions.manifest_data(version))
        if found != latest.manifest_sha256:
            yield Fault("manifest.json", f"SHA-256 {found[:12]}…, `latest` recorded {latest.manifest_sha256[:12]}…")


def _extra(store: ObjectStore, versions: VersionReader, manifest: Manifest) -> Iterator[Fault]:
    known = {ref.key for ref in manifest.files} | {f"{versions.key(manifest.version)}/manifest.json"}
    for info in store.list(f"{versions.key(manifest.version)}/"):
        if info.key not in known:
            yield Fault(_name(versions, manifest.version, info.key), "not in the manifest")


def _name(versions: VersionReader, version: str, key: str) -> str:
    return key.removeprefix(f"{versions.key(version)}/")
