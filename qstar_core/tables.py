"""Finished samples as columns of numpy arrays, ready for a data frame or a plot.

Numbers that a sample does not have are NaN: those of a failed sample, and means over no token at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from qstar_core.api import Drawn
from qstar_core.errors import DataError
from qstar_core.records import MixSummary, Trace

Column = npt.NDArray[Any]
Columns = dict[str, Column]


def columns(samples: Iterable[Drawn]) -> Columns:
    """One row a sample, in the order given: which one it is, its text, and its summary."""
    rows = list(samples)
    texts = {
        "prompt_id": [row.sample.prompt_id for row in rows], "completion": [row.completion for row in rows],
        "finish_reason": [row.finish_reason.value for row in rows],
    }
    found: Columns = {name: np.array(values, dtype=object) for name, values in texts.items()}
    found |= {"index": np.array([row.index for row in rows], dtype=np.int64),
              "draw": np.array([row.draw for row in rows], dtype=np.int64),
              "tokens": np.array([len(row.token_ids) for row in rows], dtype=np.int64)}
    for name in MixSummary.model_fields:
        if name not in found:
            found[name] = np.array([_number(row.summary, name) for row in rows], dtype=np.float64)
    return found


def token_columns(samples: Iterable[Drawn]) -> Columns:
    """One row a token: `sample` and `position` say whose, the rest is its trace. Needs samples drawn with traces."""
    rows = list(samples)
    for row in rows:
        if row.trace is None and row.error is None:
            raise DataError(f"sample {row.sample.id} has no trace", "draw with generate(…, traces=True)")
    traces = [(number, row.trace) for number, row in enumerate(rows) if row.trace is not None]
    found = {"sample": _joined([np.full(len(trace), number) for number, trace in traces]),
             "position": _joined([np.arange(len(trace)) for _, trace in traces])}
    for field in fields(Trace):
        parts = [getattr(trace, field.name) for _, trace in traces]
        if parts and parts[0] is not None:
            found[field.name] = np.concatenate(parts)
    return found


def _joined(parts: list[Column]) -> Column:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _number(summary: MixSummary | None, name: str) -> float:
    value = None if summary is None else getattr(summary, name)
    return float("nan") if value is None else float(value)
