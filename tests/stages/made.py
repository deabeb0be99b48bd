"""Published versions made of a few rows, without models: what verify, pull, prune and diff look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qstar_core.config import Settings
from qstar_core.records import FunnelStep, GateReport, Manifest, MixSummary
from qstar_core.stages.outputs import DATA, DIAGNOSTICS, RowWriter
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import store_file
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions


def workspace(store: ObjectStore, **sections: Any) -> Workspace:
    return Workspace(Settings(dataset="d", **sections), store)


def data_row(version: str, sample: str, said: str = "yes", tokens: int = 3) -> dict[str, Any]:
    return {**dict.fromkeys(DATA.names), "messages": [{"role": "user", "content": "q"},
                                                      {"role": "assistant", "content": said}],
            "sample_id": sample, "prompt_id": f"p{sample}", "tokens": tokens, "version": version}


def diagnostics_row(sample: str, outcome: str = "kept", alpha: float = 0.5, ess: float = 1.0,
                    tokens: int = 3) -> dict[str, Any]:
    known = {"sample_id": sample, "prompt_id": f"p{sample}", "outcome": outcome, "findings": [], "alpha_mean": alpha,
             "ess_ratio_mean": ess, "tokens": tokens}
    return {**dict.fromkeys((*DIAGNOSTICS.names, *MixSummary.model_fields)), **known}


def publish(store: ObjectStore, folder: Path, name: str, *, dataset: str = "d", parents: tuple[str, ...] = (),
            created: str = "2026-01-01T00:00:00+00:00", samples: Iterable[str] = ("a", "b", "c"),
            rows: Iterable[dict[str, Any]] | None = None, diagnostics: Iterable[dict[str, Any]] | None = None,
            latest: bool = True, **fields: Any) -> Manifest:
    samples = tuple(samples)
    data = [data_row(name, sample) for sample in samples] if rows is None else list(rows)
    told = [diagnostics_row(sample) for sample in samples] if diagnostics is None else list(diagnostics)
    versions = Versions(store, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for kind, schema, lines in (("data", DATA, data), ("diagnostics", DIAGNOSTICS, told)):
        with RowWriter(folder / "x.parquet", folder / "x.jsonl", schema) as writer:
            for line in lines:
                writer.write(line)
        refs += [store_file(store, f"{versions.key(name)}/{kind}/{kind}.{ending}", folder / f"x.{ending}",
                            rows=len(lines)) for ending in ("jsonl", "parquet")]
    values: dict[str, Any] = {
        "dataset": dataset, "version": name, "round": name, "sampling_hash": "s", "config_hash": name,
        "code_version": "0", "created": created, "run_id": "run", "rows": len(data), "files": tuple(refs),
        "funnel": (FunnelStep(stage="answer", entered=len(told), kept=len(data)),), "gate": GateReport(checks=()),
        "models": {}, "templates": {}, "settings": {}, "speed": {}, "provenance": {}, "parents": parents}
    manifest = Manifest(**(values | fields))
    versions.add(manifest)
    if latest:
        versions.promote(name)
    return manifest
