"""A round that is judged: what is planted in its files blocks it, it is compared with another round, and a person may
let warnings pass but no failure."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qstar_core.errors import ApprovalNeededError, ConfigError, GateFailedError, NotFoundError
from qstar_core.records import GateReport, GateVerdict
from qstar_core.stages.approving import approval_of, approve, staged_names, staged_plan
from qstar_core.stages.judging import gate_report, judge_round
from qstar_core.stages.plan import Plan
from qstar_core.stages.publishing import data_docs, publish, published
from qstar_core.stages.refine import staged
from qstar_core.stages.reporting import write_report
from qstar_core.store.integrity import store_file
from qstar_core.store.versions import Versions
from tests.stages.scripted import Project

WARNING = {"gate__min_rows": 1000, "gate__warn_only": ["row count"], "gate__on_warn": "approve"}


def named(report: GateReport, name: str) -> object:
    return next(check for check in report.checks if check.name == name)


def plant(project: Project, plan: Plan, tmp_path: Path, duplicate: str) -> None:
    """Give the second row the id of the first, in the staged file, and record the file as it is then."""
    found = staged(project.workspace(), plan)
    files = []
    for ref in found.files:
        if ref.key.endswith(f"{duplicate}.parquet"):
            project.store.download(ref.key, tmp_path / "planted.parquet")
            table = pq.read_table(tmp_path / "planted.parquet")
            ids = table["sample_id"].to_pylist()
            ids[1] = ids[0]
            at = table.schema.get_field_index("sample_id")
            pq.write_table(table.set_column(at, "sample_id", pa.array(ids)), tmp_path / "planted.parquet")
            ref = store_file(project.store, ref.key, tmp_path / "planted.parquet", rows=ref.rows)
        files.append(ref)
    changed = found.model_copy(update={"files": tuple(files)})
    project.store.write(f"{plan.staged_key}/staged.json", changed.model_dump_json().encode())


@pytest.mark.parametrize("file", ["data", "traces"])
def test_a_planted_fault_blocks_publishing_and_leaves_report_rejects_and_pages(project: Project, tmp_path: Path,
                                                                               file: str) -> None:
    plan = project.judged()
    plant(project, plan, tmp_path, file)
    report = judge_round(project.workspace(), plan)
    write_report(project.workspace(), plan)
    assert [check.name for check in report.failed()] == [f"{file} suite"]
    with pytest.raises(GateFailedError, match=rf"{file} suite is 1, allowed at most 0, such as sample \w+ \(usually"):
        publish(project.workspace(), plan)
    assert published(project.workspace(), plan) is None and Versions(project.store, "demo").latest() is None
    kept = {info.key.removeprefix(f"{plan.staged_key}/") for info in project.store.list(f"{plan.staged_key}/")}
    assert {"report.html", "rejects/rejects.jsonl", f"data-docs/{file}.html", "gate.json"} <= kept
    page = project.store.read(f"{plan.staged_key}/report.html").decode()
    example = named(report, f"{file} suite").examples[0]
    assert f"{file} suite" in page and example.sample_id in page and "Usual cause" in page


def test_examples_carry_the_beginning_of_what_was_said(project: Project) -> None:
    soft = project.with_settings(gate__alpha={"low": 0.9, "high": 1.0}, gate__min_keep_rate=1.0)
    plan = soft.judged()
    report = gate_report(soft.workspace(), plan)
    assert all(example.text for example in named(report, "alpha").examples)
    assert {example.text.split("]")[0] for example in named(report, "keep rate").examples} <= {
        "[the logits are NaN", "[truncated", "[wrong answer"}


def test_a_round_is_compared_with_the_one_before_and_never_with_itself(project: Project) -> None:
    first = project.judged("r1")
    assert gate_report(project.workspace(), first).previous is None
    publish(project.workspace(), first)
    other = project.with_settings(filters=[{"name": "finish"}])
    again = other.judged("r1")
    assert again.version != first.version
    report = gate_report(other.workspace(), again)
    assert report.previous is None and named(report, "duplicates").verdict is GateVerdict.NOT_APPLICABLE
    publish(other.workspace(), again)
    second = project.judged("r2")
    report = gate_report(project.workspace(), second)
    assert report.previous == again.version
    assert named(report, "duplicates").value is not None
    assert "fewer than 50 rows" in named(report, "length PSI").note
    forgetful = project.with_settings(gate__history=0)
    assert named(judge_round(forgetful.workspace(), second), "duplicates").value is None


def test_judging_again_gives_the_same_bytes(project: Project) -> None:
    plan = project.judged()
    keys = [info.key for info in project.store.list(f"{plan.staged_key}/") if not info.key.endswith("/pages.json")]
    before = {key: project.store.read(key) for key in keys}
    judge_round(project.workspace(), plan)  # the record of pages begins anew: the report has to be written again
    assert {key: project.store.read(key) for key in keys} == before


def test_a_warning_waits_for_a_person_who_is_then_in_the_manifest(project: Project) -> None:
    careful = project.with_settings(**WARNING)
    plan = careful.judged()
    for _ in range(2):
        with pytest.raises(ApprovalNeededError, match=f"waits for a person: the gate warns of .*row count.* — .* "
                                                      f"`qstar datasets approve {plan.version}"):
            publish(careful.workspace(), plan)
    assert Versions(project.store, "demo").latest() is None and staged_names(project.workspace(), "demo") == (
        plan.version,)
    found = staged_plan(project.workspace(), "demo", plan.version)
    assert found == plan
    with pytest.raises(ConfigError, match="the name of a person"):
        approve(careful.workspace(), plan, "  ")
    approve(project.workspace(), found, " ada ", "looks well")
    version = publish(project.workspace(), found)
    approval = Versions(project.store, "demo").manifest(version.version).approval
    assert approval is not None and (approval.by, approval.comment) == ("ada", "looks well")
    assert set(data_docs(project.workspace(), version)) == {
        f"data-docs/{name}.html" for name in ("schema", "data", "diagnostics", "traces")}
    assert staged_names(project.workspace(), "demo") == ()


def test_an_approval_holds_for_the_report_that_was_read_and_for_no_other(project: Project) -> None:
    careful = project.with_settings(**WARNING)
    plan = careful.judged()
    approve(careful.workspace(), plan, "ada")
    judge_round(careful.workspace(), plan)
    assert approval_of(careful.workspace(), plan) is not None
    judge_round(project.with_settings(**WARNING | {"gate__min_rows": 999}).workspace(), plan)
    assert approval_of(careful.workspace(), plan) is None
    with pytest.raises(ApprovalNeededError):
        publish(careful.workspace(), plan)


def test_a_failure_cannot_be_approved_and_a_pass_needs_nobody(project: Project) -> None:
    strict = project.with_settings(gate__min_rows=1000, gate__on_warn="approve")
    plan = strict.judged()
    with pytest.raises(GateFailedError, match=r"cannot be approved: the gate refused it \(row count\)"):
        approve(strict.workspace(), plan, "ada")
    with pytest.raises(GateFailedError):
        publish(strict.workspace(), plan)


@pytest.mark.parametrize("name", ["nothing-12345678", "x", "", "../r1-00000000", "r1/../../r1-00000000"])
def test_an_unknown_staged_version_is_told(project: Project, name: str) -> None:
    plan = project.with_settings(**WARNING).judged()
    with pytest.raises(NotFoundError, match=f"no staged version .* there are: {plan.version}"):
        staged_plan(project.workspace(), "demo", name)
