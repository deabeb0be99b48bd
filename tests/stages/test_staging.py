"""A version that waits or was refused can be read, pulled and verified like a published one, and says why it waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands.located import found_version
from qstar_core.errors import ApprovalNeededError, GateFailedError, NotFoundError
from qstar_core.stages.approving import approve
from qstar_core.stages.publishing import publish
from qstar_core.stages.pulling import pull
from qstar_core.stages.reporting import report_key
from qstar_core.stages.staging import StagedVersions, staged_datasets
from qstar_core.stages.verifying import verify
from qstar_core.store.localserver import RunningS3
from tests.stages.scripted import Project

WARNING = {"gate__min_rows": 1000, "gate__warn_only": ("row count",), "gate__on_warn": "approve"}


def test_a_refused_version_is_read_pulled_and_verified(project: Project, tmp_path: Path) -> None:
    strict = project.with_settings(gate__min_rows=1000)
    plan = strict.judged()
    with pytest.raises(GateFailedError, match=f"read {strict.store.locate(report_key(plan))}"):
        publish(strict.workspace(), plan)
    assert staged_datasets(strict.workspace()) == ("demo",)
    for name in (plan.version, f"staged/{plan.version}"):
        space, versions, full = found_version(strict.workspace(), "demo", name)
        assert isinstance(versions, StagedVersions) and full == plan.version
        assert "the gate refused" in versions.why(full) and "row count" in versions.why(full)
    assert not verify(space, versions, full).faults
    found = pull(space.store, versions, full, tmp_path / "out", 1)
    there = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    assert {"report.html", "manifest.json", "gate.json", "data/data.parquet", "data-docs/schema.html"} <= there
    assert pull(space.store, versions, full, tmp_path / "out", 1).there == found.files, "the manifest is the same again"
    path = next(iter(strict.store.list(f"{plan.staged_key}/data/"))).key
    strict.store.write(path, b"other")
    assert [fault.file for fault in verify(space, versions, full).faults] == [path.removeprefix(f"{plan.staged_key}/")]


def test_what_was_published_is_no_longer_staged(project: Project) -> None:
    careful = project.with_settings(**WARNING)
    plan = careful.judged()
    staged = StagedVersions(careful.workspace(), "demo")
    assert "waits for a person: the gate warns of" in staged.why(plan.version)
    draft = staged.manifest(plan.version)
    approve(careful.workspace(), plan, "ada")
    assert "publishing did not end" in staged.why(plan.version)
    publish(careful.workspace(), plan)
    _, versions, name = found_version(careful.workspace(), "demo", plan.version)
    assert not isinstance(versions, StagedVersions) and list(staged.names()) == []
    made = versions.manifest(name)
    assert (made.rows, made.gate, made.schemas) == (draft.rows, draft.gate, draft.schemas)
    with pytest.raises(NotFoundError, match="no staged version"):
        staged.manifest(plan.version)


def test_on_a_bucket_the_refusal_says_how_to_fetch_the_report(project: Project, s3_server: RunningS3) -> None:
    store = s3_server.store("staging")
    there = Project(store, project.models, project.with_settings(**WARNING).settings)  # type: ignore[arg-type]
    plan = there.judged()
    with pytest.raises(ApprovalNeededError, match=rf"read s3://.*report\.html: `qstar datasets pull {plan.version} "
                                                  rf"--dataset demo --out {plan.version}`"):
        publish(there.workspace(), plan)
