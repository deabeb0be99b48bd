"""The files of judged rows, written again after samples were dropped and older rows came in."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import pyarrow as pa

from qstar_core.records import FileRef, JsonObject, Outcome
from qstar_core.stages import outputs
from qstar_core.stages.judged import DATA, DIAGNOSTICS, REJECTS, json_rows, parquet_rows
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import store_file

Fates = dict[str, tuple[str, str]]
"""sample id → the stage that drops it, and the reason."""


def rewritten(workspace: Workspace, plan: Plan, judged: Mapping[str, Path], fates: Fates, older: list[JsonObject],
              scratch: Path) -> list[FileRef]:
    """Data, rejects and diagnostics, under the keys they had."""
    staying = (row for row in parquet_rows(judged[DATA]) if row["sample_id"] not in fates)
    contents: tuple[tuple[str, pa.Schema | None, Iterable[JsonObject]], ...] = (
        ("data", outputs.DATA, chain(staying, older)),
        ("rejects", None, _rejected(judged[REJECTS], judged[DATA], fates)),
        ("diagnostics", outputs.DIAGNOSTICS, (_told(row, fates) for row in parquet_rows(judged[DIAGNOSTICS]))),
    )
    refs: list[FileRef] = []
    for name, schema, rows in contents:
        lines, parquet = scratch / f"{name}.jsonl", scratch / f"{name}.parquet" if schema else None
        with outputs.RowWriter(parquet, lines, schema) as writer:
            for row in rows:
                writer.write(row)
        refs += [store_file(workspace.store, f"{plan.staged_key}/{name}/{path.name}", path, rows=writer.rows)
                 for path in (lines, parquet) if path is not None]
    return refs


def _rejected(rejects: Path, data: Path, fates: Fates) -> Iterator[JsonObject]:
    """In the order of the plan, rows of the source first."""
    moved = (outputs.reject_of_data(row, *fates[row["sample_id"]])
             for row in parquet_rows(data) if row["sample_id"] in fates)
    return heapq.merge(json_rows(rejects), moved,
                       key=lambda row: -1 if row["sample_idx"] is None else row["sample_idx"])


def _told(row: JsonObject, fates: Fates) -> JsonObject:
    if row["sample_id"] not in fates:
        return row
    stage, reason = fates[row["sample_id"]]
    return {**row, "outcome": Outcome.DROPPED.value, "stage": stage, "reason": reason}
