"""Rows of earlier versions that come back into a round's version.

They keep their column `version`, which names the version they came from; their diagnostics are there.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from qstar_core.records import JsonObject, Record
from qstar_core.selection import replay
from qstar_core.stages.judged import DATA, fetched, parquet_rows
from qstar_core.stages.lines import load_record
from qstar_core.stages.outputs import DATA as SCHEMA
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions


class ReplaySource(Record):
    """Which versions a round takes older rows from: recorded at the first try, so that a second takes the same."""

    versions: tuple[str, ...]


def older_rows(workspace: Workspace, plan: Plan, judged: dict[str, Path], dropped: Container[str], kept: int,
               scratch: Path) -> list[JsonObject]:
    """The rows that come back, without their place in their own round."""
    settings = workspace.settings.mixing.replay
    count = replay.replay_count(kept, settings.share)
    if not count:
        return []
    present = {replay.identity(row) for row in parquet_rows(judged[DATA]) if row["sample_id"] not in dropped}
    rows = replay.chosen_rows(_rows(workspace, plan, scratch / "older"), present, count,
                              workspace.settings.sampling.seed, plan.round)
    return [{**{name: row.get(name) for name in SCHEMA.names}, "sample_idx": None} for row in rows]


def _rows(workspace: Workspace, plan: Plan, folder: Path) -> Iterator[JsonObject]:
    folder.mkdir()
    versions = Versions(workspace.store, plan.dataset)
    for name in _lineage(workspace, plan, versions):
        path = fetched(workspace.store, versions.manifest(name).files, DATA, folder)
        yield from parquet_rows(path)


def _lineage(workspace: Workspace, plan: Plan, versions: Versions) -> tuple[str, ...]:
    """The latest version, its parent, and so on."""
    key = f"{plan.staged_key}/replay.json"
    if workspace.store.head(key) is not None:
        return load_record(workspace.store, key, ReplaySource).versions
    latest = versions.latest()
    names: list[str] = []
    ahead: tuple[str, ...] = (latest.version,) if latest else ()
    while (ahead and len(names) < workspace.settings.mixing.replay.versions and ahead[0] not in names
           and versions.exists(ahead[0])):  # a pruned one ends it
        names.append(ahead[0])
        ahead = versions.manifest(ahead[0]).parents
    source = ReplaySource(versions=tuple(names))
    workspace.store.write(key, source.model_dump_json().encode())
    return source.versions
