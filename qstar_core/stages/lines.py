"""Records as JSON lines in the store, verified against their hash when they are read back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from qstar_core.records import FileRef, Record
from qstar_core.store.integrity import read_verified, store_bytes
from qstar_core.store.objects import ObjectStore

R = TypeVar("R", bound=Record)


def store_lines(store: ObjectStore, key: str, records: Iterable[Record]) -> FileRef:
    lines = [record.model_dump_json() + "\n" for record in records]
    return store_bytes(store, key, "".join(lines).encode(), rows=len(lines))


def load_lines(store: ObjectStore, ref: FileRef, kind: type[R]) -> list[R]:
    return [kind.model_validate_json(line) for line in read_verified(store, ref).splitlines()]
