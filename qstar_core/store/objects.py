"""The protocol that every object store answers, and the uri that names one.

Keys are relative, `/`-separated. A write is atomic: a reader sees all of it or nothing. Conditional writes are the
only means of coordination: `if_absent` (one winner creates), `if_match` (compare-and-swap on an etag).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`modified` is the time of the last write, in seconds since 1970."""

    key: str
    size: int
    etag: str
    modified: float = field(default=0.0, compare=False)


class ObjectStore(Protocol):
    @property
    def uri(self) -> str:
        """Where the store is, without secrets."""
        ...

    def read(self, key: str) -> bytes:
        """The whole object. NotFoundError if it is absent."""
        ...

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        """The whole object and the etag to give to `write(if_match=…)`."""
        ...

    def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The object from byte `start` on, streamed. `start` lies before its end, or is 0."""
        ...

    def download(self, key: str, path: Path) -> None:
        """The object into a local file, streamed; the file appears whole or not at all."""
        ...

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Store bytes, return the etag. ConflictError if the condition does not hold."""
        ...

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> str:
        """Store a local file, streamed, checked against its SHA-256. Who knows it saves a reading of the file."""
        ...

    def copy(self, source: str, target: str, *, sha256: str | None = None) -> None:
        """Copy inside the store, without moving the bytes through this machine where the store can. Given the SHA-256,
        IntegrityError and no copy where the source is another one."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What is there, or None."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with the prefix, in key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is absent."""
        ...

    def empty_folders(self, prefix: str, *, remove: bool = False) -> int:
        """How many folders below the prefix hold no object, or held none before they were removed. A bucket has no
        folders."""
        ...

    def locate(self, key: str) -> str:
        """A uri that a person or another tool can open."""
        ...
