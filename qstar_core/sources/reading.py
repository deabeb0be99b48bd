"""The prompts of a source in order, each with its row number; rows that cannot become one come as rejects.

Rows are adapted, shuffled, cut to the slice, rid of duplicates, and then dealt to shards, in this order; so the shards
of a source are disjoint and together give what the whole would.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.records import JsonObject, Prompt, RowReject
from qstar_core.sources.adapters.base import Adapter
from qstar_core.sources.adapters.table import adapter_for, check_adapter, columns_of
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.sources.duplicates import Duplicates
from qstar_core.sources.larger_steps import larger_steps
from qstar_core.sources.order import shard, shuffled
from qstar_core.sources.readers.row import BEGINNING
from qstar_core.sources.rows import SourceRow, check_path, read_rows
from qstar_core.tiny.problems import problems

BUILTIN_SIZE = 4096
BUILTIN: dict[str, Callable[[int, int], Iterator[Prompt]]] = {
    "builtin:problems": problems,
    "builtin:arithmetic": arithmetic,
    "builtin:larger-steps": larger_steps,
}
_FIRST_ROWS, _MOST_FAULTS = 20, 10_000


@dataclass(frozen=True, slots=True)
class Read:
    """One row of the source: a prompt, or the reason why not. Exactly one of the two is set."""

    row: int
    prompt: Prompt | None
    reject: RowReject | None


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rows were taken for, and the columns of the first ones."""

    name: str
    columns: tuple[str, ...]


OnSchema = Callable[[Schema], None]


def read_source(settings: SourceSettings, on_schema: OnSchema | None = None) -> Iterator[Read]:
    """Every row from `source.start` on, at most `source.limit`; a prompt that occurred before is a reject.
    `on_schema` hears what the rows of a dataset are taken for, before the first of them comes."""
    check_source(settings)
    reads = _reads(settings, on_schema)
    if settings.shuffle_seed is not None:
        reads = shuffled(reads, settings.shuffle_seed, settings.shuffle_buffer)
    end = None if settings.limit is None else settings.start + settings.limit
    reads = _without_duplicates(settings, itertools.islice(reads, settings.start, end))
    return shard(reads, settings.shard_index, settings.shard_count)


def check_source(settings: SourceSettings) -> None:
    """What can be known to be wrong before anything is read."""
    if settings.shard_index >= settings.shard_count:
        raise ConfigError(f"source.shard_index = {settings.shard_index} of {settings.shard_count} shards",
                          "count shards from 0")
    if settings.path.startswith("builtin:"):
        if settings.path not in BUILTIN:
            raise DataError(f"{settings.path} is unknown", f"use {' or '.join(BUILTIN)}")
    else:
        check_path(settings)
    check_adapter(settings)


def _reads(settings: SourceSettings, on_schema: OnSchema | None) -> Iterator[Read]:
    if settings.path.startswith("builtin:"):
        made = BUILTIN[settings.path](settings.seed, BUILTIN_SIZE)
        yield from (Read(i, prompt, None) for i, prompt in enumerate(made))
        return
    rows = read_rows(settings)
    first = _first_rows(settings, rows)
    usable = [row.row.values for row in first if row.row.values is not None]
    adapter = adapter_for(settings, usable)
    if on_schema is not None:
        on_schema(Schema(adapter.name, tuple(dict.fromkeys(name for values in usable for name in values))))
    yield from (_adapted(settings, row, adapter) for row in itertools.chain(first, rows))


def _first_rows(settings: SourceSettings, rows: Iterator[SourceRow]) -> list[SourceRow]:
    """The rows that the schema is told by: a few, or as many as it takes to find one that is an object."""
    first: list[SourceRow] = []
    usable = False
    for row in rows:
        first.append(row)
        usable = usable or row.row.values is not None
        if len(first) >= (_FIRST_ROWS if usable else _MOST_FAULTS):
            break
    if not usable:
        reason = f"row {first[0].row.index}: {first[0].row.fault}" if first else "there are no rows"
        raise DataError(f"{settings.path} holds no usable row", reason)
    return first


def _adapted(settings: SourceSettings, row: SourceRow, adapter: Adapter) -> Read:
    values, index = row.row.values, row.row.index
    if values is None:
        return _rejected(row.file, index, row.row.fault, row.row.text)
    try:
        prompt = adapter.adapt(columns_of(values, settings), settings)
    except RowError as fault:
        return _rejected(row.file, index, str(fault), _beginning(values))
    return Read(index, prompt, None)


def _without_duplicates(settings: SourceSettings, reads: Iterator[Read]) -> Iterator[Read]:
    seen = Duplicates(settings.near_duplicates)
    for read in reads:
        reason = None if read.prompt is None else seen.reason(read.prompt)
        if reason is None or read.prompt is None:
            yield read
        else:
            yield _rejected(settings.path, read.row, reason, read.prompt.question)


def _beginning(values: JsonObject) -> str:
    """Enough of a row to find it; long values are cut before they are told."""
    short = {name: value[:BEGINNING] if isinstance(value, str) else value for name, value in values.items()}
    return json.dumps(short, ensure_ascii=False, default=str)


def _rejected(source: str, row: int, reason: str, text: str) -> Read:
    return Read(row, None, RowReject(source=source, row=row, reason=reason, text=text[:BEGINNING]))
