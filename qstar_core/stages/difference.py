"""What changed between two versions: rows, prompts in common, funnel, gate figures, speed, settings and models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from qstar_core.records import JsonObject, Manifest
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import download_verified
from qstar_core.store.versions import Versions


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Difference:
    old: str
    new: str
    lines: tuple[Line, ...]


def difference(workspace: Workspace, versions: Versions, old: str, new: str) -> Difference:
    before, after = versions.manifest(old), versions.manifest(new)
    lines = (*_rows(workspace, before, after), *_funnel(before, after), *_gate(before, after),
             *_settings(before, after))
    return Difference(old, new, lines)


def _rows(workspace: Workspace, before: Manifest, after: Manifest) -> Iterator[Line]:
    ours, theirs = _sample_ids(workspace, before), _sample_ids(workspace, after)
    yield Line("rows", str(before.rows), str(after.rows))
    yield Line("rows only here", str(len(ours - theirs)), str(len(theirs - ours)))
    yield Line("created", before.created, after.created)


def _sample_ids(workspace: Workspace, manifest: Manifest) -> set[str]:
    ref = next(ref for ref in manifest.files if ref.key.endswith("/data/data.parquet"))
    with workspace.scratch() as scratch:
        path = scratch / "data.parquet"
        download_verified(workspace.store, ref, path)
        return set(pq.read_table(path, columns=["sample_id"]).column(0).to_pylist())


def _funnel(before: Manifest, after: Manifest) -> Iterator[Line]:
    drops = [{f"dropped by {step.stage}: {reason}": count for step in manifest.funnel
              for reason, count in step.dropped.items()} for manifest in (before, after)]
    yield from _changed(*drops)


def _gate(before: Manifest, after: Manifest) -> Iterator[Line]:
    ours, theirs = ({f"gate {check.name}": f"{check.verdict.value}"
                     + ("" if check.value is None else f" ({check.value:.4g})")
                     for check in manifest.gate.checks} for manifest in (before, after))
    yield from _changed(ours, theirs)


def _settings(before: Manifest, after: Manifest) -> Iterator[Line]:
    yield from _changed(_flat(before.settings), _flat(after.settings))
    yield from _changed({f"{role} weights": ref.sha256[:16] for role, ref in before.models.items()},
                        {f"{role} weights": ref.sha256[:16] for role, ref in after.models.items()})


def _changed(ours: JsonObject, theirs: JsonObject) -> Iterator[Line]:
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield Line(name, str(ours.get(name, "–")), str(theirs.get(name, "–")))


def _flat(tree: JsonObject, prefix: str = "") -> JsonObject:
    flat: JsonObject = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
