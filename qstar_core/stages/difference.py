"""What changed between two versions: rows by their ids, the distributions of length, α and ESS, funnel, gate figures,
settings and models. Memory: some hundred bytes a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.errors import IntegrityError
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.checks.length_drift import FEWEST
from qstar_core.gate.drift import edges, kolmogorov_smirnov, one_hot, stability_index
from qstar_core.records import JsonObject, Manifest, Outcome
from qstar_core.stages.judged import DATA, DIAGNOSTICS, fetched, parquet_rows
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions

_OF_THE_RUN = {"run_id", "round", "version", "sample_idx"}
_MEASURES = {"tokens": "tokens", "alpha_mean": "α", "ess_ratio_mean": "ESS ratio"}
_DISTANCES = (("PSI", stability_index, 10), ("KS", kolmogorov_smirnov, 200))


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
    lines = (*_rows(workspace, before, after), *_distributions(workspace, before, after), *_funnel(before, after),
             *_gate(before, after), *_settings(before, after))
    return Difference(old, new, lines)


def _rows(workspace: Workspace, before: Manifest, after: Manifest) -> Iterator[Line]:
    ours, theirs = _contents(workspace, before), _contents(workspace, after)
    changed = sum(theirs[name] != digest for name, digest in ours.items() if name in theirs)
    yield Line("rows", str(before.rows), str(after.rows))
    yield Line("rows only here", str(len(ours.keys() - theirs.keys())), str(len(theirs.keys() - ours.keys())))
    yield Line("rows in both, changed", str(changed), str(changed))
    yield Line("created", before.created, after.created)


def _contents(workspace: Workspace, manifest: Manifest) -> dict[str, bytes]:
    """Sample id → a hash of the row, without the columns that tell which run it came by."""
    with workspace.scratch() as scratch:
        path = fetched(workspace.store, manifest.files, DATA, scratch)
        columns = [name for name in pq.read_schema(path).names if name not in _OF_THE_RUN]
        if "sample_id" not in columns:
            raise _unsuited(manifest, DATA, "has no column sample_id")
        return {str(row["sample_id"]): _digest(row) for row in parquet_rows(path, columns)}


def _digest(row: JsonObject) -> bytes:
    return hashlib.blake2b(json.dumps(row, sort_keys=True, default=repr).encode(), digest_size=8).digest()


def _distributions(workspace: Workspace, before: Manifest, after: Manifest) -> Iterator[Line]:
    """Of the kept samples, as the gate measures drift: `before` makes the bins."""
    ours, theirs = _measures(workspace, before), _measures(workspace, after)
    for column, name in _MEASURES.items():
        old, new = ours[column], theirs[column]
        yield Line(f"{name}: mean ± std", _told(old), _told(new))
        if min(len(old), len(new)) < FEWEST:
            yield Line(f"{name}: drift", "–", f"fewer than {FEWEST} rows to compare")
            continue
        for measure, distance, bins in _DISTANCES:
            bounds = edges(old, bins)
            moved = float(distance(one_hot(new, bounds).sum(axis=0), one_hot(old, bounds).sum(axis=0)))
            yield Line(f"{name}: {measure}", "–", f"{moved:.4g}")


def _measures(workspace: Workspace, manifest: Manifest) -> dict[str, Values]:
    with workspace.scratch() as scratch:
        path = fetched(workspace.store, manifest.files, DIAGNOSTICS, scratch)
        schema = pq.read_schema(path)
        for name in _MEASURES:
            kind = schema.field(name).type if name in schema.names else None
            if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
                raise _unsuited(manifest, DIAGNOSTICS, f"has no column {name} of numbers")
        if "outcome" not in schema.names or not pa.types.is_string(schema.field("outcome").type):
            raise _unsuited(manifest, DIAGNOSTICS, "has no column outcome of text")
        table = pq.read_table(path, columns=[*_MEASURES], filters=[("outcome", "==", Outcome.KEPT.value)])
    columns = {name: table.column(name).drop_null().to_numpy().astype(np.float64) for name in _MEASURES}
    return {name: values[np.isfinite(values)] for name, values in columns.items()}


def _unsuited(manifest: Manifest, file: str, problem: str) -> IntegrityError:
    return IntegrityError(f"{file} of {manifest.dataset} {manifest.version} {problem}",
                          "it was not written by qstar: compare other versions")


def _told(values: Values) -> str:
    return f"{values.mean():.4g} ± {values.std():.4g}" if len(values) else "–"


def _funnel(before: Manifest, after: Manifest) -> Iterator[Line]:
    counts = [{f"{step.stage}: entered → kept": f"{step.entered} → {step.kept}" for step in manifest.funnel}
              | {f"dropped by {step.stage}: {reason}": count for step in manifest.funnel
                 for reason, count in step.dropped.items()} for manifest in (before, after)]
    yield from _changed(*counts)


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
