"""The footer of a Parquet file in the store: its rows and columns, without the rest of the file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.records import FileRef
from qstar_core.store.objects import ObjectStore

_MAGIC, _TAIL = b"PAR1", 8


def read_footer(store: ObjectStore, ref: FileRef) -> pq.FileMetaData | None:
    """None where it is no Parquet file."""
    if ref.bytes < _TAIL + len(_MAGIC):
        return None
    tail = b"".join(store.chunks(ref.key, ref.bytes - _TAIL))
    length = int.from_bytes(tail[:4], "little")
    if not tail.endswith(_MAGIC) or length + _TAIL > ref.bytes:
        return None
    footer = b"".join(store.chunks(ref.key, ref.bytes - _TAIL - length))
    try:
        return pq.read_metadata(pa.BufferReader(_MAGIC + footer))
    except (pa.ArrowInvalid, OSError):
        return None


def columns(footer: pq.FileMetaData) -> dict[str, str]:
    return {field.name: str(field.type) for field in footer.schema.to_arrow_schema()}
