"""Which samples a report takes, and that their tokens are those of the traces."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from qstar_core.stages.reporting import write_report
from tests.report.reading import samples
from tests.stages.scripted import Project


def reported(project: Project, **flags: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """The samples of the page, all rows of the diagnostics, and the traces by sample."""
    project = project.with_settings(round__prompts=12, sampling__draws=3, **flags)
    plan = project.judged()
    page = project.store.read(write_report(project.workspace(), plan).key).decode()
    tables = {}
    with project.workspace().scratch() as scratch:
        for name in ("diagnostics/diagnostics.parquet", "traces/traces.parquet"):
            project.store.download(f"{plan.staged_key}/{name}", scratch / "table.parquet")
            tables[name] = pq.read_table(scratch / "table.parquet").to_pylist()
    diagnostics, traces = tables.values()
    return samples(page), diagnostics, {row["sample_id"]: row for row in traces}


def test_every_reason_has_its_turn_and_the_first_are_told(project: Project) -> None:
    shown, diagnostics, traces = reported(project, output__report_samples=12, output__report_told=7)
    reasons = Counter(row["reason"] for row in diagnostics)
    assert len(reasons) > 2
    turns = [row["reason"] for row in shown[: len(reasons)]]
    assert sorted(turns) == sorted(reasons) and shown[0]["outcome"] == "kept"
    assert len(shown) == 12
    assert [row["told"] is not None for row in shown] == [
        at < 7 and row["id"] in traces for at, row in enumerate(shown)]


def test_the_page_agrees_with_the_files(project: Project) -> None:
    shown, diagnostics, traces = reported(project, output__report_samples=1_000)
    assert {row["id"] for row in shown} == {row["sample_id"] for row in diagnostics}
    judged = {row["sample_id"]: row for row in diagnostics}
    for row in shown:
        file = judged[row["id"]]
        assert (row["outcome"], row["stage"], row["reason"]) == (file["outcome"], file["stage"], file["reason"])
        if row["told"] is None:
            continue
        assert row["alpha_mean"] == pytest.approx(file["alpha_mean"], rel=6e-4)
        assert row["told"]["token"] == traces[row["id"]]["token"]
        for name in ("alpha", "logp_theta", "logp_t", "logq", "entropy_theta"):
            np.testing.assert_allclose(row["told"][name], traces[row["id"]][name], rtol=6e-4)


def test_a_report_without_samples(project: Project) -> None:
    assert reported(project, output__report_samples=0)[0] == []
