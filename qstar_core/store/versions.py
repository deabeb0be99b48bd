"""Dataset versions on an object store: immutable once their manifest is there, and one pointer to the latest.

Files first, the manifest last with a conditional write, then `latest.json` by compare-and-swap. A reader sees a whole
version or none. Any older version can be made latest again; a rerun never undoes that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from qstar_core.records import DatasetVersion, Manifest, Record
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.objects import ObjectInfo, ObjectStore

_ATTEMPTS = 20


def dataset_names(store: ObjectStore) -> tuple[str, ...]:
    """Every dataset of the store that has a published version."""
    keys = (info.key.split("/") for info in store.list("datasets/"))
    return tuple(sorted({parts[1] for parts in keys if len(parts) == 5 and parts[4] == "manifest.json"}))


class Latest(Record):
    """`history` lists every version that was latest, oldest first, the present one at the end."""

    version: str
    manifest_sha256: str
    moved: str
    history: tuple[str, ...]


class VersionReader(Protocol):
    """What it takes to read a version: the folder of its files, its manifest, and the bytes of that."""

    dataset: str

    def key(self, version: str) -> str: ...

    def manifest(self, version: str) -> Manifest: ...

    def manifest_data(self, version: str) -> bytes: ...

    def latest(self) -> Latest | None: ...


class Versions:
    def __init__(self, store: ObjectStore, dataset: str) -> None:
        self._store = store
        self.dataset = dataset
        self._latest_key = f"datasets/{dataset}/latest.json"

    def key(self, version: str) -> str:
        return f"datasets/{self.dataset}/versions/{version}"

    def names(self) -> Iterator[str]:
        """The visible versions, by name."""
        for info in self._store.list(f"datasets/{self.dataset}/versions/"):
            if info.key.endswith("/manifest.json") and info.key.count("/") == 4:
                yield info.key.split("/")[3]

    def manifest_data(self, version: str) -> bytes:
        return self._store.read(f"{self.key(version)}/manifest.json")

    def manifest(self, version: str) -> Manifest:
        """IntegrityError for one that is damaged, or of another version."""
        try:
            found = Manifest.model_validate_json(self.manifest_data(version))
        except NotFoundError:
            known = ", ".join(self.names()) or "none yet"
            raise NotFoundError(f"dataset {self.dataset} has no version {version!r}", f"there are: {known}") from None
        except ValidationError:
            raise IntegrityError(f"the manifest of {self.dataset} {version} is damaged",
                                 "roll back to another version") from None
        if (found.dataset, found.version) != (self.dataset, version):
            raise IntegrityError(f"the manifest of {self.dataset} {version} is that of {found.dataset} "
                                 f"{found.version}"[:400], "roll back to another version")
        return found

    def reference(self, version: str) -> DatasetVersion:
        rows = self.manifest(version).rows
        return DatasetVersion(dataset=self.dataset, version=version, uri=self._store.locate(self.key(version)),
                              manifest_sha256=sha256_bytes(self.manifest_data(version)), rows=rows)

    def folders(self) -> dict[str, list[ObjectInfo]]:
        """What lies in the folder of each version, visible or not."""
        prefix = f"datasets/{self.dataset}/versions/"
        found: dict[str, list[ObjectInfo]] = {}
        for info in self._store.list(prefix):
            found.setdefault(info.key.removeprefix(prefix).partition("/")[0], []).append(info)
        return found

    def hide(self, version: str) -> bool:
        """Make a version invisible, so that its files can go: the first step of its removal. False where it is latest
        (or nothing is), also where it became so in this moment; then it stays, or is visible again."""
        key = f"{self.key(version)}/manifest.json"
        if self._stays(version):
            return False
        data = self._store.read(key)
        self._store.delete(key)
        if self._stays(version):
            self._store.write(key, data)
            return False
        return True

    def _stays(self, version: str) -> bool:
        """Where nothing is latest, nobody knows what is needed."""
        latest = self.latest()
        return latest is None or latest.version == version

    def exists(self, version: str) -> bool:
        return self._store.head(f"{self.key(version)}/manifest.json") is not None

    def latest(self) -> Latest | None:
        return self._latest_with_etag()[0]

    def latest_name(self) -> str:
        """NotFoundError where nothing is latest."""
        latest = self.latest()
        if latest is not None:
            return latest.version
        known = ", ".join(self.names())
        if known:
            raise NotFoundError(f"of the versions of dataset {self.dataset} none is latest ({known})",
                                "`qstar datasets rollback VERSION` makes one latest")
        raise NotFoundError(f"dataset {self.dataset} has no version yet", "run `qstar demo`, or name a dataset")

    def _latest_with_etag(self) -> tuple[Latest | None, str]:
        try:
            data, etag = self._store.read_with_etag(self._latest_key)
            return Latest.model_validate_json(data), etag
        except NotFoundError:
            return None, ""
        except ValidationError:
            raise IntegrityError(f"{self._store.locate(self._latest_key)} is damaged",
                                 "remove it, then roll back to the version that shall be latest") from None

    def add(self, manifest: Manifest) -> None:
        """Make a version visible. Its files are in place; each is checked to be there with its recorded size."""
        for ref in manifest.files:
            info = self._store.head(ref.key)
            if info is None or info.size != ref.bytes:
                raise IntegrityError(f"{self._store.locate(ref.key)} is not complete", "run the round again")
        key = f"{self.key(manifest.version)}/manifest.json"
        try:
            self._store.write(key, manifest.model_dump_json(indent=1).encode(), if_absent=True)
        except ConflictError:
            if self.manifest(manifest.version).config_hash != manifest.config_hash:
                raise ConflictError(f"{self.dataset} {manifest.version} was published with other settings",
                                    "give the round another name") from None
            raise self.taken(manifest.version) from None

    def taken(self, version: str) -> ConflictError:
        """What the slower of two publishers of one version is told."""
        return ConflictError(f"{self.dataset} {version} was published by another run in this moment",
                             "nothing is lost: the same command, run again, finds it published")

    def promote(self, version: str) -> None:
        """Make a newly published version latest, unless it was latest before: then somebody rolled it back."""
        self._move(version, only_if_new=True)

    def rollback(self, version: str) -> None:
        """Make any visible version latest again."""
        self.manifest(version)
        self._move(version, only_if_new=False)

    def _move(self, version: str, only_if_new: bool) -> None:
        sha256 = self.reference(version).manifest_sha256
        for _ in range(_ATTEMPTS):
            current, etag = self._latest_with_etag()
            history = current.history if current else ()
            if (only_if_new and version in history) or (current and current.version == version):
                return
            moved = Latest(version=version, manifest_sha256=sha256, history=(*history, version),
                           moved=datetime.now(UTC).isoformat(timespec="seconds"))
            try:
                etag = self._store.write(self._latest_key, moved.model_dump_json(indent=1).encode(),
                                         if_absent=current is None, if_match=etag or None)
            except ConflictError:
                continue
            if not self.exists(version):  # it was removed between the look at it and the move
                self._undo(current, etag)
                raise NotFoundError(f"{self.dataset} {version} was removed in this moment", "choose another version")
            return
        raise StoreError(f"{self._store.locate(self._latest_key)} kept changing", "try again in a moment")

    def _undo(self, before: Latest | None, etag: str) -> None:
        """Unless somebody has moved the pointer on since then."""
        if before is not None:
            with suppress(ConflictError):
                self._store.write(self._latest_key, before.model_dump_json(indent=1).encode(), if_match=etag)
