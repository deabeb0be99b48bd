"""Rows of files, folders, buckets and hub datasets as plain dictionaries, streamed in a fixed order; a row that cannot
be read comes as its fault, and a file that cannot is a DataError that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError
from qstar_core.records import content_hash
from qstar_core.sources.files import (
    KNOWN,
    bucket_files,
    fetched,
    is_pattern,
    is_saved,
    kind_of,
    local_files,
    local_path,
)
from qstar_core.sources.readers.hub import read_hub
from qstar_core.sources.readers.lines import read_lines
from qstar_core.sources.readers.listing import read_json
from qstar_core.sources.readers.row import Row
from qstar_core.sources.readers.table import read_arrow, read_csv, read_parquet, read_saved
from qstar_core.store.integrity import sha256_file

_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    "lines": read_lines, "json": read_json, "csv": read_csv, "parquet": read_parquet, "arrow": read_arrow,
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row, and the name of the file that it is a row of."""

    file: str
    row: Row


def read_rows(settings: SourceSettings) -> Iterator[SourceRow]:
    """All rows in order, from the first; a row is numbered within its file."""
    check_path(settings)
    path = local_path(settings)
    if settings.path.startswith("s3://"):
        yield from _bucket_rows(settings)
    elif path.is_file():
        yield from _file_rows(path, settings.path)
    elif is_saved(path):
        yield from (SourceRow(settings.path, row) for row in read_saved(path, settings.split))
    elif _several(settings):
        for file in local_files(settings):
            yield from _file_rows(file, str(file))
    else:
        yield from (SourceRow(settings.path, row) for row in read_hub(settings))


def check_path(settings: SourceSettings) -> None:
    """DataError where the path is a local one that cannot be read. What may be a hub id is left to the hub."""
    try:
        _check_path(settings)
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be read
        raise DataError(f"cannot look at {settings.path[:200]!r}: {error.__class__.__name__}",
                        "check source.path") from None


def _check_path(settings: SourceSettings) -> None:
    if not settings.path.strip():
        raise DataError("source.path is empty", f"give a file that ends in {KNOWN}, or a folder or hub id")
    path = local_path(settings)
    if settings.path.startswith("s3://") or is_saved(path):
        return
    if _several(settings):
        if not local_files(settings):
            raise DataError(f"no data files at {settings.path}", f"give files that end in {KNOWN}")
    elif path.is_dir():
        return
    elif path.is_file():
        if kind_of(path.name) is None:
            raise DataError(f"{path} is of no known kind", f"convert it to one of {KNOWN}")
        if path.stat().st_size == 0:
            raise DataError(f"{path} holds no usable row", "the file is empty")
    elif kind_of(path.name) is not None:
        raise DataError(f"no file at {path}", "check source.path")
    elif path.is_absolute() or settings.path.startswith((".", "~")) or len(path.parts) > 2 or not path.name:
        raise DataError(f"no dataset at {settings.path}", f"give a file that ends in {KNOWN}, or a folder, an "
                                                          "s3:// prefix or a hub id")


def source_state(settings: SourceSettings) -> str:
    """Changes when the content of a source does; what lies on a hub is known by its name and revision alone."""
    path = local_path(settings)
    if path.is_file():
        return sha256_file(path)[:12]
    if settings.path.startswith("s3://"):
        _, objects = bucket_files(settings)
        return content_hash([[info.key, info.size, info.etag] for info in objects])[:12]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
    elif _several(settings):
        files = local_files(settings)
    else:
        return "named"
    return content_hash([[str(file.relative_to(path) if path.is_dir() else file), file.stat().st_size]
                         for file in files])[:12]


def _several(settings: SourceSettings) -> bool:
    """A pattern, or a folder of files. A folder whose card says which files it has is read as the hub would."""
    path = local_path(settings)
    if not path.is_dir():
        return is_pattern(settings.path) and not path.is_file()
    card = path / "README.md"
    return not (card.is_file() and "\nconfigs:" in card.read_text(encoding="utf-8", errors="replace")[:20_000])


def _file_rows(path: Path, name: str) -> Iterator[SourceRow]:
    yield from (SourceRow(name, row) for row in _READERS[kind_of(name) or ""](path, name))


def _bucket_rows(settings: SourceSettings) -> Iterator[SourceRow]:
    store, objects = bucket_files(settings)
    for info in objects:
        with fetched(store, info.key) as path:
            yield from _file_rows(path, store.locate(info.key))
