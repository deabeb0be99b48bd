"""Finished samples as Parquet: one row a sample, its record as JSON, its trace as one list column a quantity."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.engine.protocol import Finished
from qstar_core.errors import IntegrityError
from qstar_core.records import Sample, Trace

_INTEGERS = ("token", "status")
_COLUMNS = tuple(field.name for field in fields(Trace))
_SCHEMA = pa.schema(
    [pa.field("sample", pa.string(), nullable=False)]
    + [pa.field(name, pa.list_(pa.int32() if name in _INTEGERS else pa.float32())) for name in _COLUMNS]
)
_WORK = b"qstar.work"


def write_samples(path: Path, finished: Iterable[Finished], tokens: int, seconds: float) -> int:
    """Rows written. `tokens` and `seconds` are the work that went into them, kept in the file's metadata."""
    rows = list(finished)
    columns: dict[str, list[object]] = {"sample": [row.sample.model_dump_json() for row in rows]}
    for name in _COLUMNS:
        columns[name] = [None if row.trace is None else getattr(row.trace, name) for row in rows]
    work = json.dumps({"tokens": tokens, "seconds": seconds}).encode()
    table = pa.table(columns, schema=_SCHEMA.with_metadata({_WORK: work}))
    pq.write_table(table, path, compression="zstd")
    return len(rows)


def read_samples(path: Path) -> Iterator[Finished]:
    for batch in _open(path).iter_batches(batch_size=256):
        columns = {name: batch.column(name) for name in ("sample", *_COLUMNS)}
        for i in range(batch.num_rows):
            yield Finished(Sample.model_validate_json(columns["sample"][i].as_py()), _trace(columns, i))


def read_work(path: Path) -> tuple[int, float]:
    """Tokens and seconds that went into a file."""
    metadata = _open(path).schema_arrow.metadata or {}
    work = json.loads(metadata.get(_WORK, b'{"tokens": 0, "seconds": 0.0}'))
    return int(work["tokens"]), float(work["seconds"])


def _trace(columns: dict[str, pa.Array], row: int) -> Trace | None:
    if not columns["token"][row].is_valid:
        return None
    arrays: dict[str, Any] = {name: columns[name][row].values.to_numpy(zero_copy_only=False) for name in _COLUMNS}
    return Trace(**arrays)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(f"{path.name} is not a readable shard: {error}", "remove it; it is made again") from None
