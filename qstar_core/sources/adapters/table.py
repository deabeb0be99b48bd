"""The known schemas in the order in which they are tried, and which of them some rows are of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError
from qstar_core.records import JsonObject
from qstar_core.sources.adapters.base import Adapter
from qstar_core.sources.adapters.chat import MESSAGES, PREFERENCE, SHAREGPT, VERL
from qstar_core.sources.adapters.questions import (
    ALPACA,
    DOLLY,
    GSM8K,
    MATH,
    OPENORCA,
    QUERY_RESPONSE,
    QUESTION_ANSWER,
    QUESTIONS,
    TEXT,
)
from qstar_core.sources.adapters.tasks import CODE, MULTIPLE_CHOICE
from qstar_core.sources.adapters.template import compiled, template_adapter, variables
from qstar_core.sources.columns import Columns

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in (
    VERL, PREFERENCE, MESSAGES, SHAREGPT, MULTIPLE_CHOICE, CODE, GSM8K, MATH, QUESTION_ANSWER, ALPACA, DOLLY,
    QUERY_RESPONSE, OPENORCA, TEXT,
)}
AUTO = "auto"
_ALWAYS = frozenset({"kind", "meta"})


def columns_of(values: JsonObject, settings: SourceSettings) -> Columns:
    """The row's columns under the names that `source.columns` gives them. A dotted name reaches into a column."""
    if not settings.columns:
        return Columns(values)
    given = Columns(values)
    renamed = {name: _reached(given, path) for name, path in settings.columns.items()}
    taken = {path.lower() for path in settings.columns.values()}
    return Columns({**{name: given.get(name) for name in given.names - taken}, **renamed})


def adapter_for(settings: SourceSettings, rows: Iterable[JsonObject]) -> Adapter:
    """The adapter that was asked for, or the one that the columns of the first rows name."""
    check_adapter(settings)
    sample = _merged(rows)
    _check_columns(settings, sample)
    if settings.template is not None:
        return template_adapter(settings)
    if settings.adapter != AUTO:
        return ADAPTERS[settings.adapter]
    return QUESTION_ANSWER if settings.prompt_field else _guess(columns_of(sample, settings), settings)


def check_adapter(settings: SourceSettings) -> None:
    if settings.adapter not in (AUTO, *ADAPTERS):
        raise ConfigError(f"source.adapter = {settings.adapter!r} is unknown", f"use {AUTO}, {', '.join(ADAPTERS)}")
    if settings.template is not None:
        compiled(settings)
        if settings.adapter != AUTO or settings.prompt_field:
            raise ConfigError("source.template makes the question itself",
                              "leave out source.adapter and source.prompt_field, or the template")
    _check_names(settings)


def _check_names(settings: SourceSettings) -> None:
    """A key of `source.columns` that nothing reads would be taken in silence, and its column lost."""
    if not settings.columns:
        return
    fields = (settings.prompt_field, settings.answer_field, settings.solution_field)
    known = frozenset().union(_ALWAYS, *(adapter.explains for adapter in ADAPTERS.values()),
                              variables(settings) if settings.template is not None else (),
                              (name.lower() for name in fields if name is not None))
    for name in settings.columns:
        if name.lower() not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            raise ConfigError(f"source.columns.{name}: nothing reads a column of that name",
                              f"did you mean {close[0]}?" if close else "name first what the schema reads, then the "
                              "column of the data; docs/sources.md has the names")


def _guess(columns: Columns, settings: SourceSettings) -> Adapter:
    """The first schema that accounts for everything which the other candidates rest on."""
    candidates = {adapter.name: rests_on for adapter in ADAPTERS.values() if (rests_on := adapter.rests_on(columns))}
    if not candidates:
        raise DataError(f"{settings.path}: no known schema has the columns {_listed(columns)}",
                        "name the question with source.prompt_field, or map names with source.columns")
    winner = next((ADAPTERS[name] for name in candidates
                   if all(ADAPTERS[name].explains >= rests_on for other, rests_on in candidates.items()
                          if other != name)), None)
    if winner is None:
        raise DataError(f"{settings.path}: the columns {_listed(columns)} fit {' and '.join(candidates)}",
                        "choose one with --schema (source.adapter)")
    asking = [name for name in QUESTIONS if columns.text(name) is not None]
    if winner is QUESTION_ANSWER and len(asking) > 1:
        raise DataError(f"{settings.path}: the question may be {' or '.join(asking)}",
                        "name it with source.prompt_field")
    return winner


def _merged(rows: Iterable[JsonObject]) -> JsonObject:
    """Each column with its first value that is not empty, so that a null in the first row hides nothing."""
    found: JsonObject = {}
    for row in rows:
        for name, value in row.items():
            if name not in found or (found[name] in (None, "", [], {}) and value is not None):
                found[name] = value
    return found


def _check_columns(settings: SourceSettings, sample: JsonObject) -> None:
    """A setting that names a column which no row has is a mistake in the settings."""
    given, mapped = Columns(sample), columns_of(sample, settings)
    for name, path in settings.columns.items():
        if path.lower() not in given and path.partition(".")[0].lower() not in given:
            raise DataError(f"no column {path!r} among {_listed(given)}", f"check source.columns.{name}")
    for field in ("prompt_field", "answer_field", "solution_field"):
        chosen = getattr(settings, field)
        if chosen is not None and chosen.lower() not in mapped:
            raise DataError(f"no column {chosen!r} among {_listed(given)}", f"check source.{field}")


def _reached(columns: Columns, path: str) -> object:
    if path.lower() in columns:
        return columns.get(path.lower())
    first, *rest = path.lower().split(".")
    value = columns.get(first)
    for step in rest:
        value = Columns(value).get(step) if isinstance(value, dict) else None
    return value


def _listed(columns: Columns) -> str:
    return ", ".join(sorted(columns.names))[:300] or "no columns"
