"""The files of a version as frames of small columns, which the expectations speak of.

A column that a file lacks is null in its frame: the schema suite says that it is missing. Texts are cut and escaped
here, because Data Docs show values as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qstar_core.gate.expectations import AS_EXPECTED, arrow_types
from qstar_core.records import MixSummary, Outcome

_BATCH = 1_024
_LONGEST = 120
_DATA = ("sample_idx", "sample_id", "prompt_id", "draw", "kind", "source", "finish_reason", "tokens", "alpha_method",
         "temperature", "seed", "student_sha256", "teacher_sha256", "round", "version", "run_id")
_TRACE = ("sample_idx", "sample_id")
_REPEATED = re.compile(r"\b(\w+ \w+)(?: \1)+\b")
# The numbers that a sample with a summary always has.
_ALWAYS = tuple(name for name, value in MixSummary.model_fields.items() if type(None) not in
                getattr(value.annotation, "__args__", ()))


def schema_frame(files: dict[str, tuple[Path, pa.Schema]]) -> pd.DataFrame:
    """One row for each column that a file has or should have, with both types."""
    rows = []
    for name, (path, wanted) in files.items():
        expected, found = arrow_types(wanted), arrow_types(pq.ParquetFile(path).schema_arrow)
        rows += [{"file": name, "column": _shown(column), "expected": expected.get(column),
                  "found": _type_name(found.get(column))} for column in {**expected, **found}]
    return pd.DataFrame(rows)


def data_frame(path: Path) -> pd.DataFrame:
    def derived(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        turns = batch.column("messages").to_pylist() if "messages" in batch.schema.names else [None] * len(batch)
        return {
            "roles": pa.array([_roles(messages) for messages in turns], pa.string()),
            "empty_messages": pa.array([_without_content(messages) for messages in turns], pa.int64()),
        }

    return _frame(path, _DATA, ("messages",), derived)


def diagnostics_frame(path: Path, diagnostics: bool) -> pd.DataFrame:
    columns = ("sample_idx", "sample_id", "prompt_id", "draw", "outcome", *MixSummary.model_fields)
    frame = _frame(path, columns, (), lambda batch: {})
    has = frame[list(_ALWAYS)].notna()
    whole, absent = has.all(axis=1), ~has.any(axis=1)
    wanted = (frame["outcome"] != Outcome.FAILED.value) & diagnostics
    frame["summary"] = np.where(np.where(wanted, whole, absent), AS_EXPECTED,
                                np.where(whole, "present", np.where(absent, "missing", "in part")))
    return frame


def trace_frame(path: Path) -> pd.DataFrame:
    def derived(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        present = [name for name in batch.schema.names if pa.types.is_list(batch.schema.field(name).type)]
        lengths = [pc.list_value_length(batch.column(name)) for name in present]
        same = [len(set(row)) == 1 for row in zip(*(length.to_pylist() for length in lengths), strict=True)]
        return {
            "tokens": lengths[present.index("token")] if "token" in present else pa.nulls(len(batch), pa.int32()),
            "same_lengths": pa.array(same if present else [None] * len(batch), pa.bool_()),
            **{f"{name}_{which}": _extreme(batch, name, which)
               for name, which in (("alpha", "min"), ("alpha", "max"), ("logq", "max"))},
        }

    return _frame(path, _TRACE, ("token", "logp_theta", "logp_t", "logq", "alpha"), derived)


def _frame(path: Path, columns: tuple[str, ...], more: tuple[str, ...],
           derived: Callable[[pa.RecordBatch], dict[str, pa.Array]]) -> pd.DataFrame:
    """`columns` as they are, and what `derived` makes of them and of `more`, a batch at a time."""
    file = pq.ParquetFile(path)
    present = [name for name in (*columns, *more) if name in file.schema_arrow.names]
    schema = pa.schema([file.schema_arrow.field(name) for name in present])
    parts = []
    empty = [pa.RecordBatch.from_pylist([], schema=schema)]
    for batch in file.iter_batches(batch_size=_BATCH, columns=present) if file.metadata.num_rows else empty:
        own = {name: _plain(batch.column(name)) for name in columns if name in present}
        parts.append(pa.table({**own, **derived(batch)}).to_pandas())
    frame = pd.concat(parts, ignore_index=True)
    for name in columns:
        if name not in frame:
            frame[name] = None
    return frame


def _plain(array: pa.Array) -> pa.Array:
    """Texts cut and escaped; everything else as it is."""
    if not pa.types.is_string(array.type):
        return array
    return pa.array([None if text is None else _shown(text) for text in array.to_pylist()], pa.string())


def _shown(text: str) -> str:
    """`$` is a placeholder in the templates of Data Docs."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    printable = "".join(character if character.isprintable() else f"[U+{ord(character):04X}]" for character in cut)
    return html.escape(printable).replace("$", "&#36;")


def _type_name(name: str | None) -> str | None:
    return None if name is None else name[:500]


def _roles(messages: list[dict[str, str | None] | None] | None) -> str | None:
    """In their order, turns that repeat in pairs told once."""
    if not messages:
        return None
    return _shown(_REPEATED.sub(r"\1", " ".join(str((turn or {}).get("role")) for turn in messages)))


def _without_content(messages: list[dict[str, str | None] | None] | None) -> int:
    return sum((turn or {}).get("content") is None for turn in messages or ())


def _extreme(batch: pa.RecordBatch, name: str, which: str) -> pa.Array:
    """Of the list of each row, null where it is empty; a value that is not finite counts as ∞, outside of any range."""
    if name not in batch.schema.names:
        return pa.nulls(len(batch), pa.float64())
    length_N = pc.fill_null(pc.list_value_length(batch.column(name)), 0).to_numpy()
    values = np.asarray(batch.column(name).flatten(), dtype=np.float64)
    found_N = np.full(len(batch), np.nan)
    if len(values):
        starts = (np.cumsum(length_N) - length_N)[length_N > 0]
        pick = np.minimum if which == "min" else np.maximum
        found_N[length_N > 0] = pick.reduceat(np.where(np.isfinite(values), values, np.inf), starts)
    return pa.array(found_N, pa.float64(), from_pandas=True)
