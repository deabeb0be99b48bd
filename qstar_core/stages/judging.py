"""Refined rows → the gate's report, written beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from qstar_core.gate import GateInput, judge
from qstar_core.records import FileRef, GateReport, MixSummary
from qstar_core.stages.lines import load_record
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import Staged, staged
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import download_verified


def judge_round(workspace: Workspace, plan: Plan) -> GateReport:
    settings, found = workspace.settings, staged(workspace, plan)
    report = judge(settings.gate, GateInput(
        samples=found.samples, kept=found.kept, failed=found.failed, method=settings.alpha.method,
        summaries=tuple(summaries(workspace, found)), not_chosen=found.not_chosen,
    ))
    workspace.store.write(gate_key(plan), report.model_dump_json(indent=1).encode())
    return report


def gate_key(plan: Plan) -> str:
    return f"{plan.staged_key}/gate.json"


def gate_report(workspace: Workspace, plan: Plan) -> GateReport:
    return load_record(workspace.store, gate_key(plan), GateReport)


def summaries(workspace: Workspace, found: Staged) -> Iterator[MixSummary]:
    """Of every sample that has one, in the order of the plan."""
    with workspace.scratch() as scratch:
        path = scratch / "diagnostics.parquet"
        download_verified(workspace.store, file_named(found, "diagnostics/diagnostics.parquet"), path)
        for batch in pq.ParquetFile(path).iter_batches(columns=list(MixSummary.model_fields)):
            for row in batch.to_pylist():
                if row["tokens"] is not None:
                    yield MixSummary.model_validate(row)


def file_named(found: Staged, name: str) -> FileRef:
    return next(ref for ref in found.files if ref.key.endswith(f"/{name}"))
