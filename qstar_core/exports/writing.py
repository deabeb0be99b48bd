"""Rows into the files of an export, a split by prompts, no more than a batch in memory.

`<split>/00000-<tag>.jsonl` or `.parquet`, and the next file when one is full. The tag is made of the content:
`datasets` takes the rows of a folder whose name and file names it has seen before from its cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.errors import DataError
from qstar_core.exports.base import Format
from qstar_core.exports.kinds import Item
from qstar_core.records import JsonObject, content_hash
from qstar_core.selection.draws import order_of
from qstar_core.store.integrity import sha256_file

TRAIN, VALIDATION = "train", "validation"
_BATCH = 1024


class SplitWriter:
    """The files of one split. They are whole once the context is left."""

    def __init__(self, folder: Path, split: str, schema: pa.Schema | None, rows_per_file: int) -> None:
        self._folder, self._split = folder, split
        self._schema, self._most = schema, rows_per_file
        self._open = ExitStack()
        self._lines: BufferedWriter | None = None
        self._parquet: pq.ParquetWriter | None = None
        self._waiting: list[JsonObject] = []
        self.files: list[str] = []
        self.rows = 0

    def write(self, row: JsonObject) -> None:
        if self.rows % self._most == 0:
            self._next_file()
        self.rows += 1
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            data = line.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"row {self.rows} of the {self._split} split holds half a character (a lone surrogate)",
                            "drop such rows by a filter") from None
        if self._lines is not None:
            self._lines.write(data)
        else:
            self._waiting.append(row)
            if len(self._waiting) >= _BATCH:
                self._flush()

    def _next_file(self) -> None:
        self.close()
        name = f"{self._split}/{len(self.files):05d}.{'parquet' if self._schema else 'jsonl'}"
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        if self._schema is None:
            self._lines = self._open.enter_context(path.open("wb"))
        else:
            self._parquet = self._open.enter_context(pq.ParquetWriter(path, self._schema, compression="zstd"))
        self.files.append(name)

    def _flush(self) -> None:
        if self._parquet is not None and self._waiting:
            self._parquet.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []

    def close(self) -> None:
        self._flush()
        self._open.close()


@dataclass(frozen=True, slots=True)
class Written:
    """Files relative to the folder and rows, both by split."""

    tag: str
    files: dict[str, tuple[str, ...]]
    rows: dict[str, int]


def write_rows(folder: Path, format_: Format, schema: pa.Schema | None, items: Iterable[Item], validation: float,
               rows_per_file: int, seed: int) -> Written:
    """All rows of a prompt are in one split."""
    splits = {name: SplitWriter(folder, name, schema, rows_per_file) for name in (TRAIN, VALIDATION)}
    with ExitStack() as open_:
        for split in splits.values():
            open_.callback(split.close)
        for item in items:
            name = VALIDATION if validation and _unit(seed, item.prompt_id) < validation else TRAIN
            splits[name].write(format_.row(item, name, splits[name].rows))
    hashes = [sha256_file(folder / file) for split in splits.values() for file in split.files]
    tag = content_hash(hashes)[:8]
    return Written(tag=tag, rows={name: split.rows for name, split in splits.items()},
                   files={name: tuple(_tagged(folder, file, tag) for file in split.files)
                          for name, split in splits.items()})


def _tagged(folder: Path, file: str, tag: str) -> str:
    stem, end = file.split(".")
    (folder / file).rename(folder / f"{stem}-{tag}.{end}")
    return f"{stem}-{tag}.{end}"


def _unit(seed: int, prompt_id: str) -> float:
    return order_of(seed, "split", prompt_id) / 2**56
