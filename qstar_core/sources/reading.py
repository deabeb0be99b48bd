"""The prompts of a source in order, each with its row number; rows that cannot become one come as rejects."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError, RowError
from qstar_core.records import Prompt, RowReject, content_hash
from qstar_core.sources.adapters import Adapter, adapter_for, check_adapter
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.sources.rows import Row, check_path, read_rows
from qstar_core.tiny.problems import problems

BUILTIN_SIZE = 4096
BUILTIN: dict[str, Callable[[int, int], Iterator[Prompt]]] = {
    "builtin:problems": problems,
    "builtin:arithmetic": arithmetic,
}


@dataclass(frozen=True, slots=True)
class Read:
    """One row of the source: a prompt, or the reason why not. Exactly one of the two is set."""

    row: int
    prompt: Prompt | None
    reject: RowReject | None


def read_source(settings: SourceSettings) -> Iterator[Read]:
    """Every row from `source.start` on, at most `source.limit`; a prompt that occurred before is a reject."""
    check_source(settings)
    end = None if settings.limit is None else settings.start + settings.limit
    seen: set[str] = set()
    for read in itertools.islice(_reads(settings), settings.start, end):
        if read.prompt is not None and read.prompt.id in seen:
            yield _rejected(settings, read.row, "the prompt occurred before", read.prompt.question)
        else:
            if read.prompt is not None:
                seen.add(read.prompt.id)
            yield read


def check_source(settings: SourceSettings) -> None:
    """What can be known to be wrong before anything is read."""
    if settings.path.startswith("builtin:"):
        if settings.path not in BUILTIN:
            raise DataError(f"{settings.path} is unknown", f"use {' or '.join(BUILTIN)}")
    else:
        check_path(settings)
    check_adapter(settings)


def source_state(settings: SourceSettings) -> str:
    """Changes when the content of a local source does; what lies elsewhere is known by its name alone."""
    path = Path(settings.path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return content_hash([[str(file.relative_to(path)), file.stat().st_size] for file in files])[:12]
    return "named"


def _reads(settings: SourceSettings) -> Iterator[Read]:
    if settings.path.startswith("builtin:"):
        made = BUILTIN[settings.path](settings.seed, BUILTIN_SIZE)
        yield from (Read(i, prompt, None) for i, prompt in enumerate(made))
        return
    adapter: Adapter | None = None
    for row in read_rows(settings):
        if row.values is not None and adapter is None:
            _, adapter = adapter_for(settings, row.values)
        yield _adapted(settings, row, adapter)
    if adapter is None:
        raise DataError(f"{settings.path} holds no usable row", "give a file with at least one JSON object a line")


def _adapted(settings: SourceSettings, row: Row, adapter: Adapter | None) -> Read:
    if row.values is None or adapter is None:
        return _rejected(settings, row.index, row.fault, row.text)
    try:
        return Read(row.index, adapter(row.values, settings), None)
    except RowError as fault:
        return _rejected(settings, row.index, str(fault), row.text)


def _rejected(settings: SourceSettings, row: int, reason: str, text: str) -> Read:
    return Read(row, None, RowReject(source=settings.path, row=row, reason=reason, text=text[:300]))
