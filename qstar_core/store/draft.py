"""A store that one may write to without a trace: changes go to another one, everything else is read from the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qstar_core.errors import ConflictError, NotFoundError
from qstar_core.store.integrity import check_copied, sha256_bytes
from qstar_core.store.keys import check_condition
from qstar_core.store.objects import ObjectInfo, ObjectStore


class DraftStore:
    """`store` is never changed; `changed` takes what is written. For one user at a time: conditions are looked at and
    not locked."""

    def __init__(self, store: ObjectStore, changed: ObjectStore) -> None:
        self._store, self._changed = store, changed
        self._gone: set[str] = set()

    @property
    def uri(self) -> str:
        return self._store.uri

    def locate(self, key: str) -> str:
        return self._store.locate(key)

    def read(self, key: str) -> bytes:
        return self._of(key).read(key)

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._of(key).read_with_etag(key)

    def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        return self._of(key).chunks(key, start)

    def download(self, key: str, path: Path) -> None:
        self._of(key).download(key, path)

    def head(self, key: str) -> ObjectInfo | None:
        return None if key in self._gone else self._changed.head(key) or self._store.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = {info.key: info for info in self._store.list(prefix) if info.key not in self._gone}
        found |= {info.key: info for info in self._changed.list(prefix)}
        yield from (found[key] for key in sorted(found))

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        check_condition(key, if_absent, if_match)
        there = self.head(key)
        if (if_absent and there is not None) or (if_match is not None and (there is None or there.etag != if_match)):
            raise ConflictError(f"{self.locate(key)} is another one by now", "read it and repeat the change")
        self._gone.discard(key)
        return self._changed.write(key, data)

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> str:
        self._gone.discard(key)
        return self._changed.upload(key, path, sha256=sha256)

    def copy(self, source: str, target: str, *, sha256: str | None = None) -> None:
        data = self.read(source)
        if sha256 is not None:
            check_copied(self.locate(source), sha256_bytes(data), sha256)
        self.write(target, data)

    def delete(self, key: str) -> None:
        self._changed.delete(key)
        self._gone.add(key)

    def empty_folders(self, prefix: str, *, remove: bool = False) -> int:
        return self._changed.empty_folders(prefix, remove=remove)

    def _of(self, key: str) -> ObjectStore:
        if key in self._gone:
            raise NotFoundError(f"{self.locate(key)} does not exist", "it was removed in this draft")
        return self._changed if self._changed.head(key) is not None else self._store
