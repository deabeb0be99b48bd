"""CSV, Parquet and Arrow files, and folders written by `save_to_disk`, batch by batch. Nothing is unpickled or decoded:
a value is what the table says, and every CSV value is text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qstar_core.errors import DataError
from qstar_core.records import JsonObject
from qstar_core.sources.readers.row import LONGEST, Row, unreadable
from qstar_core.sources.readers.text import open_bytes

_BATCH = 256
_NO_VALUES = (ValueError, OverflowError)  # of these are UnicodeDecodeError and pyarrow's ArrowInvalid
_DAMAGE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RuntimeError)


def read_csv(path: Path, name: str) -> Iterator[Row]:
    """A row with more or fewer values than the head is a reject; broken quoting makes all that follows unsure."""
    csv.field_size_limit(LONGEST)
    index = 0
    try:
        with io.TextIOWrapper(open_bytes(path, name), encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            head = [column.strip() for column in next(rows, [])]
            if len({column.lower() for column in head}) < len(head):
                raise DataError(f"{name} has a column twice: {', '.join(head)}", "give every column its own name")
            for values in rows:
                if not values:
                    continue
                if len(values) != len(head):
                    yield Row(index, None, "the row has more or fewer values than the head", ",".join(values)[:300])
                else:
                    yield Row(index, {column: value or None for column, value in zip(head, values, strict=True)})
                index += 1
    except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(name, index, error) from None


def read_parquet(path: Path, name: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in _rows(batch, index):
                    yield row
                    index += 1
    except (pa.ArrowException, *_DAMAGE) as error:
        raise unreadable(name, index, error) from None


def read_arrow(path: Path, name: str) -> Iterator[Row]:
    """An IPC stream, as `datasets` writes, or an IPC file."""
    import pyarrow as pa

    index = 0
    try:
        with pa.memory_map(str(path)) as source:
            for batch in _batches(source):
                for part in range(0, batch.num_rows, _BATCH):
                    for row in _rows(batch.slice(part, _BATCH), index):
                        yield row
                        index += 1
    except (pa.ArrowException, *_DAMAGE) as error:
        raise unreadable(name, index, error) from None


def read_saved(path: Path, split: str) -> Iterator[Row]:
    """A folder of `Dataset.save_to_disk`, or the split of one of `DatasetDict.save_to_disk`."""
    import datasets
    import pyarrow as pa

    index = 0
    try:
        saved: Any = datasets.load_from_disk(str(path))
        if isinstance(saved, datasets.DatasetDict):
            if split not in saved:
                raise DataError(f"{path} has no split {split!r}", f"set source.split to {' or '.join(saved)}")
            saved = saved[split]
        for table in saved.with_format("arrow").iter(batch_size=_BATCH):
            for row in _rows(table, index):
                yield row
                index += 1
    except (pa.ArrowException, *_DAMAGE) as error:
        raise unreadable(str(path), index, error) from None


def _batches(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    try:
        stream = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        file = pa.ipc.open_file(source)
        stream = (file.get_batch(number) for number in range(file.num_record_batches))
    yield from stream


def _rows(batch: Any, first: int) -> Iterator[Row]:
    """Row by row where a batch as a whole cannot be turned into values, so that only the row at fault is lost."""
    try:
        values = _values(batch)
    except _NO_VALUES:
        for offset in range(batch.num_rows):
            try:
                yield Row(first + offset, _values(batch.slice(offset, 1))[0])
            except _NO_VALUES:
                yield Row(first + offset, None, "the row holds bytes that are no text")
        return
    for offset, row in enumerate(values):
        yield Row(first + offset, row)


def _values(batch: Any) -> list[JsonObject]:
    """Validated before: offsets that lead out of the data would end the process."""
    batch.validate(full=True)
    found: list[JsonObject] = batch.to_pylist()
    return found
