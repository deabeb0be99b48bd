"""What a published round cost and how far its two models were apart, read from its ledger and its diagnostics."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from qstar_core.errors import NotFoundError
from qstar_core.loop.records import Refreshed
from qstar_core.records import DatasetVersion
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.judged import DIAGNOSTICS, fetched
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions

_MEANS = {"alpha": "alpha_mean", "kl_theta": "kl_theta_mean", "kl_t": "kl_t_mean"}


def refreshed(workspace: Workspace, round_name: str, version: DatasetVersion, seconds: float) -> Refreshed:
    plan = _plan_of(workspace, round_name, version.version)
    entries = (ledger_entry(workspace.store, plan, shard.index) for shard in plan.shards)
    tokens = sum(entry.tokens for entry in entries if entry is not None)
    return Refreshed(version=version, student=plan.models["student"].sha256, samples=plan.samples, tokens=tokens,
                     seconds=seconds, **_apart(workspace, version))


def _plan_of(workspace: Workspace, round_name: str, version: str) -> Plan:
    for info in workspace.store.list(f"{workspace.round_key(round_name)}/"):
        if info.key.endswith(f"/plans/{version}/plan.json"):
            return load_plan(workspace.store, info.key.removesuffix("/plan.json"))
    raise NotFoundError(f"the plan of {workspace.settings.dataset} {version} is gone from the store",
                        "begin another loop with --name")


def _apart(workspace: Workspace, version: DatasetVersion) -> dict[str, float | None]:
    """Means over tokens, of all samples of the round, kept or not; samples with an infinite KL are left out of its
    mean, as in the report."""
    manifest = Versions(workspace.store, version.dataset).manifest(version.version)
    with workspace.scratch() as scratch:
        path = fetched(workspace.store, manifest.files, DIAGNOSTICS, scratch)
        table = pq.read_table(path, columns=["tokens", "divergent_tokens", *_MEANS.values()])
    columns = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in table.column_names}
    tokens = columns["tokens"]
    found = {name: _mean(columns[column], tokens) for name, column in _MEANS.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        return {**found, "divergent": _mean(columns["divergent_tokens"] / tokens, tokens)}


def _mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    known = np.isfinite(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else None
