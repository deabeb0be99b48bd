"""Refined rows → the gate's report and its Data Docs, written beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qstar_core.gate.examples import with_texts
from qstar_core.gate.expectations import Facts
from qstar_core.gate.files import check_files
from qstar_core.gate.judge import judge
from qstar_core.gate.reading import read_hashes, read_previous, read_samples, read_texts
from qstar_core.gate.version import Given, Hashes, Previous
from qstar_core.records import FileRef, GateReport, Manifest
from qstar_core.stages.lines import load_record
from qstar_core.stages.outputs import DATA, DIAGNOSTICS, traces_schema
from qstar_core.stages.pages import record_pages
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import staged
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import download_verified, store_bytes
from qstar_core.store.versions import Versions

_DATA, _DIAGNOSTICS, _TRACES = "data/data.parquet", "diagnostics/diagnostics.parquet", "traces/traces.parquet"
_REJECTS = "rejects/rejects.jsonl"


def judge_round(workspace: Workspace, plan: Plan) -> GateReport:
    settings, found = workspace.settings, staged(workspace, plan)
    with workspace.scratch() as scratch:
        earlier = _earlier(workspace, plan)
        previous, hashes = _measured(workspace, earlier, scratch)
        suited = {"data": (_DATA, DATA), "diagnostics": (_DIAGNOSTICS, DIAGNOSTICS),
                  "traces": (_TRACES, traces_schema(settings.engine.top_logprobs))}
        files = {name: (_downloaded(workspace, found.files, key, scratch / f"{name}.parquet"), schema)
                 for name, (key, schema) in suited.items() if _has(found.files, key)}
        data, diagnostics = files["data"][0], files["diagnostics"][0]
        suites, pages = check_files(files, Facts(version=plan.version, samples=found.samples, kept=found.kept,
                                                 diagnostics=settings.engine.diagnostics,
                                                 replayed=found.replay))
        report = judge(settings.gate, Given(
            samples=read_samples(diagnostics), previous=previous, earlier=hashes, suites=suites,
            texts=read_texts(data, settings.gate, previous.words if previous else (), found.replay),
            method=settings.alpha.method,
        ))
        report = with_texts(report, data, _downloaded(workspace, found.files, _REJECTS, scratch / "rejects.jsonl"))
    docs = [store_bytes(workspace.store, f"{plan.staged_key}/data-docs/{name}", page.encode("utf-8", "replace"))
            for name, page in sorted(pages.items())]
    record_pages(workspace, plan, docs)
    workspace.store.write(gate_key(plan), report.model_dump_json(indent=1).encode())
    return report


def gate_key(plan: Plan) -> str:
    return f"{plan.staged_key}/gate.json"


def gate_report(workspace: Workspace, plan: Plan) -> GateReport:
    return load_record(workspace.store, gate_key(plan), GateReport)


def _earlier(workspace: Workspace, plan: Plan) -> list[Manifest]:
    """The version that is latest and what came before it, the newest first, without those of the same round: a round
    that is refined anew is not compared with itself."""
    versions = Versions(workspace.store, plan.dataset)
    latest = versions.latest()
    waiting, seen, found = [latest.version] if latest else [], set[str](), list[Manifest]()
    while waiting and len(found) < max(1, workspace.settings.gate.history):
        name = waiting.pop(0)
        if name not in seen and versions.exists(name):
            seen.add(name)
            manifest = versions.manifest(name)
            waiting += manifest.parents
            if manifest.round != plan.round:
                found.append(manifest)
    return found


def _measured(workspace: Workspace, earlier: list[Manifest], scratch: Path) -> tuple[Previous | None, Hashes]:
    """The previous version, and the conversations of as many as `gate.history` asks for."""
    previous: Previous | None = None
    hashes: list[Hashes] = []
    for place, manifest in enumerate(earlier):
        path = _downloaded(workspace, manifest.files, _DATA, scratch / "earlier.parquet")
        if place == 0:
            previous, found = read_previous(path, manifest.version)
        else:
            found = read_hashes(path)
        hashes.append(found)
    kept = hashes[:workspace.settings.gate.history]
    return previous, np.unique(np.concatenate(kept)) if kept else np.empty(0, dtype=np.uint64)


def _has(files: tuple[FileRef, ...], name: str) -> bool:
    return any(ref.key.endswith(f"/{name}") for ref in files)


def _downloaded(workspace: Workspace, files: tuple[FileRef, ...], name: str, path: Path) -> Path:
    download_verified(workspace.store, next(ref for ref in files if ref.key.endswith(f"/{name}")), path)
    return path
