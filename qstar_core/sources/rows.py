"""Rows of a file or hub dataset as plain dictionaries, streamed; a row that cannot be read is yielded as its fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError
from qstar_core.records import JsonObject

_LONGEST_LINE = 10_000_000
_READERS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}


@dataclass(frozen=True, slots=True)
class Row:
    """`values` is None where the row is at fault; `fault` says why and `text` is its beginning."""

    index: int
    values: JsonObject | None
    fault: str = ""
    text: str = ""


def read_rows(settings: SourceSettings) -> Iterator[Row]:
    """All rows in order, from the first."""
    check_path(settings)
    path = Path(settings.path)
    if path.suffix == ".jsonl":
        return _jsonl(path)
    return _by_library(_READERS.get(path.suffix, ""), settings, str(path))


def check_path(settings: SourceSettings) -> None:
    """DataError where the path is a local one that cannot be read. What may be a hub id is left to the hub."""
    path = Path(settings.path)
    if path.is_dir():
        return
    if path.is_file() or path.suffix in (".jsonl", *_READERS):
        if not path.is_file():
            raise DataError(f"no file at {path}", "check source.path")
        if path.suffix not in (".jsonl", *_READERS):
            raise DataError(f"{path} is of no known kind", f"convert it to one of .jsonl, {', '.join(_READERS)}")
        if path.stat().st_size == 0:
            raise DataError(f"{path} holds no usable row", "the file is empty")
        if path.suffix == ".json":
            _refuse_lone_value(path)
    elif path.is_absolute() or settings.path.startswith(".") or len(path.parts) > 2:
        raise DataError(f"no dataset at {settings.path}", "give a .jsonl, .json, .csv or .parquet file, or a hub id")


def _refuse_lone_value(path: Path) -> None:
    """A file that is `null` or a number would crash the library's reader, and the process with it."""
    with path.open("rb") as file:
        if file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"[", b"{", b""):
            raise DataError(f"{path} holds neither a list nor objects", "give a list of JSON objects")


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        index = -1
        for line in lines:
            if line.strip():
                index += 1
                yield _parsed(index, line)


def _parsed(index: int, line: bytes) -> Row:
    beginning = line[:300].decode("utf-8", "replace").strip()
    if len(line) > _LONGEST_LINE:
        return Row(index, None, "the line is longer than 10 MB", beginning)
    try:
        values = json.loads(line.decode("utf-8-sig" if index == 0 else "utf-8"))
    except UnicodeDecodeError:
        return Row(index, None, "the line is not UTF-8", beginning)
    except (ValueError, RecursionError):  # ValueError also for an integer of thousands of digits
        return Row(index, None, "the line is not JSON", beginning)
    if not isinstance(values, dict):
        return Row(index, None, "the line is not a JSON object", beginning)
    if b"\\ud" in line.lower() and not _encodes(values):
        return Row(index, None, "the line escapes half of a surrogate pair", beginning)
    return Row(index, values, text=beginning)


def _encodes(values: JsonObject) -> bool:
    """Whether every text can be written again."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _by_library(builder: str, settings: SourceSettings, file: str) -> Iterator[Row]:
    """Everything that the datasets library reads, as a stream; it never runs code of the dataset."""
    import datasets

    try:
        if builder:
            rows: Any = datasets.load_dataset(builder, data_files=file, split="train", streaming=True)
        else:
            rows = datasets.load_dataset(settings.path, split=settings.split, streaming=True)
        for index, values in enumerate(rows):
            yield Row(index, dict(values), text=str(values)[:300])
    except (OSError, TypeError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot read {settings.path}: {reason}", "check source.path and source.split") from None
