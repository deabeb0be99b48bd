"""Records in the store: one as a JSON object, many as JSON lines that are verified against their hash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError

from qstar_core.errors import IntegrityError
from qstar_core.records import FileRef, Record
from qstar_core.store.integrity import read_verified, store_bytes
from qstar_core.store.objects import ObjectStore

R = TypeVar("R", bound=Record)


def load_record(store: ObjectStore, key: str, kind: type[R]) -> R:
    """IntegrityError where the object is not such a record."""
    try:
        return kind.model_validate_json(store.read(key))
    except ValidationError as error:
        raise IntegrityError(f"{store.locate(key)} is not a {kind.__name__} record of this release "
                             f"({error.error_count()} faults)",
                             "remove it and run again what made it") from None


def store_lines(store: ObjectStore, key: str, records: Iterable[Record]) -> FileRef:
    lines = [record.model_dump_json() + "\n" for record in records]
    return store_bytes(store, key, "".join(lines).encode(), rows=len(lines))


def load_lines(store: ObjectStore, ref: FileRef, kind: type[R]) -> list[R]:
    return [kind.model_validate_json(line) for line in read_verified(store, ref).splitlines()]
