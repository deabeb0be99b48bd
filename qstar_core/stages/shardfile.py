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
_TOP = {"top_token": pa.int32(), "top_logq": pa.float32()}
_COLUMNS = tuple(field.name for field in fields(Trace) if field.name not in _TOP)
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
    top = next((row.trace.top_token for row in rows if row.trace is not None), None)
    schema = _SCHEMA
    if top is not None:
        for field in top_fields(top.shape[1]):
            schema = schema.append(field)
            columns[field.name] = [None if row.trace is None else top_values(row.trace, field.name) for row in rows]
    work = json.dumps({"tokens": tokens, "seconds": seconds}).encode()
    table = pa.table(columns, schema=schema.with_metadata({_WORK: work}))
    pq.write_table(table, path, compression="zstd")
    return len(rows)


def top_fields(k: int) -> list[pa.Field]:
    """The columns of the k likeliest tokens: a list a sample, in it k values a token."""
    return [pa.field(name, pa.list_(pa.list_(kind, k))) for name, kind in _TOP.items()]


def top_values(trace: Trace, name: str) -> list[list[float]]:
    """As the writer takes them, which has no use for two-dimensional arrays."""
    values: list[list[float]] = getattr(trace, name).tolist()
    return values


def read_samples(path: Path) -> Iterator[Finished]:
    file = _open(path)
    names = ("sample", *_COLUMNS, *(name for name in _TOP if name in file.schema_arrow.names))
    for batch in file.iter_batches(batch_size=256):
        columns = {name: batch.column(name) for name in names}
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
    for name in _TOP:
        if name in columns:
            tokens = columns[name][row].values
            arrays[name] = tokens.flatten().to_numpy(zero_copy_only=False).reshape(len(tokens), -1)
    return Trace(**arrays)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(f"{path.name} is not a readable shard: {error}", "remove it; it is made again") from None
