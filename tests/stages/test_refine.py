"""Every sample in exactly one place, the funnel whole from the rows to the kept ones, and no word of the teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from qstar_core.engine.protocol import Job
from qstar_core.errors import NotFoundError
from qstar_core.records import GateVerdict
from qstar_core.stages.judging import gate_report, judge_round
from qstar_core.stages.pages import report_key
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import NAMES, Staged, refine, staged
from qstar_core.stages.reporting import summary_columns, write_report
from qstar_core.store.integrity import sha256_bytes
from tests.report.reading import samples
from tests.stages.scripted import TEACHER_MARK, Project, finished_of


def lines(project: Project, plan: Plan, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.store.read(f"{plan.staged_key}/{name}").splitlines()]


def table(project: Project, plan: Plan, name: str, folder: Path) -> list[dict[str, Any]]:
    project.store.download(f"{plan.staged_key}/{name}", folder / "table.parquet")
    found: list[dict[str, Any]] = pq.read_table(folder / "table.parquet").to_pylist()
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    good = [json.dumps({"question": f"sort {i} {j}", "answer": f"{i} {j}"}) for i in range(5) for j in range(5)]
    path.write_text("\n".join([*good[:4], "broken ANSWERLESS", '{"question": "sort unicorns"}', good[0], *good[4:]]))
    return path


@pytest.fixture
def refined(project: Project, source: Path) -> tuple[Project, Plan, Staged]:
    project = project.with_settings(source__path=str(source), round__prompts=24, round__shard_size=20)
    plan = project.generated(project.plan())
    return project, plan, refine(project.workspace(), plan)


def test_every_sample_is_kept_or_rejected_and_in_the_order_of_the_plan(
    refined: tuple[Project, Plan, Staged], tmp_path: Path
) -> None:
    project, plan, found = refined
    planned = [name for line in project.planned(plan) for name in line.sample_ids]
    data, rejects, diagnostics, traces = (lines(project, plan, "data/data.jsonl"),
                                          lines(project, plan, "rejects/rejects.jsonl"),
                                          lines(project, plan, "diagnostics/diagnostics.jsonl"),
                                          table(project, plan, "traces/traces.parquet", tmp_path))
    assert [row["sample_id"] for row in diagnostics] == planned
    assert [row["sample_idx"] for row in diagnostics] == list(range(plan.samples))
    kept, dropped = [row["sample_id"] for row in data], [row["sample_id"] for row in rejects if row["sample_id"]]
    assert sorted(kept + dropped) == sorted(planned) and kept == [name for name in planned if name in set(kept)]
    assert {row["sample_id"]: row["outcome"] for row in diagnostics if row["outcome"] == "kept"}.keys() == set(kept)
    assert (found.samples, found.kept, found.failed) == (
        plan.samples, len(kept), sum(row["outcome"] == "failed" for row in rejects))
    assert found.failed > 0 and 0 < found.kept < found.samples
    with_trace = [row["sample_id"] for row in diagnostics if row["tokens"] is not None]
    assert [row["sample_id"] for row in traces] == with_trace
    assert all(len(row["token"]) == len(row["alpha"]) == len(row["logq"]) for row in traces)


def test_the_funnel_is_whole(refined: tuple[Project, Plan, Staged]) -> None:
    project, plan, found = refined
    ingest, render, engine, *filters = found.funnel
    assert ingest.dropped == {"the line is not JSON": 1, "the prompt occurred before": 1}
    assert (render.entered, engine.entered) == (ingest.kept, render.kept * 2)
    entering = engine.entered
    for step in (engine, *filters):
        assert step.entered == entering == step.kept + sum(step.dropped.values())
        entering = step.kept
    assert entering == found.kept
    told: dict[tuple[str, str], int] = {}
    for row in lines(project, plan, "rejects/rejects.jsonl"):
        told[row["stage"], row["reason"]] = told.get((row["stage"], row["reason"]), 0) + 1
    assert told == {(step.stage, reason): count for step in found.funnel for reason, count in step.dropped.items()}
    assert ("render", "the student's tokenizer cannot encode the prompt") in told


def test_a_row_holds_the_conversation_and_its_provenance(refined: tuple[Project, Plan, Staged], tmp_path: Path) -> None:
    project, plan, found = refined
    row = lines(project, plan, "data/data.jsonl")[0]
    line = next(line for line in project.planned(plan) if row["sample_id"] in line.sample_ids)
    *asked, said = row["messages"]
    assert asked == [{"role": "user", "content": line.prompt.question}]
    assert said["role"] == "assistant" and said["content"].endswith(f"answer {line.prompt.answer}")
    assert (row["version"], row["round"], row["run_id"]) == (plan.version, "r1", "run")
    assert row["student_sha256"] == project.models["student"].sha256
    assert table(project, plan, "data/data.parquet", tmp_path) == lines(project, plan, "data/data.jsonl")
    assert table(project, plan, "diagnostics/diagnostics.parquet", tmp_path) == lines(
        project, plan, "diagnostics/diagnostics.jsonl")
    for ref in found.files:
        data = project.store.read(ref.key)
        assert (len(data), sha256_bytes(data)) == (ref.bytes, ref.sha256)
    assert {ref.key.removeprefix(f"{plan.staged_key}/") for ref in found.files} == set(NAMES[:6])


def test_no_word_of_the_teacher_is_in_any_file_of_rows(
    refined: tuple[Project, Plan, Staged], tmp_path: Path
) -> None:
    project, plan, found = refined
    assert all(TEACHER_MARK in line.pair.teacher_text for line in project.planned(plan)), "the mark would be seen"
    for ref in found.files:
        name = ref.key.removeprefix(f"{plan.staged_key}/")
        text = (json.dumps(table(project, plan, name, tmp_path)) if name.endswith("parquet")
                else project.store.read(ref.key).decode())
        assert TEACHER_MARK not in text, name


def test_refining_again_gives_the_same_bytes(refined: tuple[Project, Plan, Staged]) -> None:
    project, plan, found = refined
    assert refine(project.workspace(), plan) == found == staged(project.workspace(), plan)


def test_without_traces_there_is_no_file_of_them(project: Project) -> None:
    for flags in ({"output__traces": False}, {"engine__diagnostics": False}):
        quiet = project.with_settings(**flags)
        found = refine(quiet.workspace(), quiet.generated(quiet.plan()))
        assert {ref.key.rpartition("/")[2] for ref in found.files} == {
            "data.jsonl", "data.parquet", "diagnostics.jsonl", "diagnostics.parquet", "rejects.jsonl"}


def test_an_unfinished_shard_is_named(project: Project) -> None:
    plan = project.plan()
    with pytest.raises(NotFoundError, match=f"shard 0 of {plan.version} is not finished"):
        refine(project.workspace(), plan)


def test_the_gate_measures_every_finished_sample(refined: tuple[Project, Plan, Staged]) -> None:
    project, plan, found = refined
    engine = project.engine(plan)
    expected = []
    for line in project.planned(plan):
        for offset, name in enumerate(line.sample_ids):
            made = finished_of(Job(name, line.pair, line.first_draw + offset), engine.answers[line.prompt.id])
            if made.sample.summary is not None:
                expected.append(made.sample.summary)
    with project.workspace().scratch() as scratch:
        columns = summary_columns(project.workspace(), found, scratch)
    for name, values in columns.items():
        np.testing.assert_array_equal(values, np.float64([getattr(summary, name) for summary in expected]), name)
    report = judge_round(project.workspace(), plan)
    assert report == gate_report(project.workspace(), plan)
    checks = {check.name: check for check in report.checks}
    assert checks["row count"].value == found.kept
    assert checks["failed share"].value == pytest.approx(found.failed / found.samples)
    assert checks["alpha"].value == pytest.approx(
        sum(s.alpha_mean * s.tokens for s in expected) / sum(s.tokens for s in expected))


def test_a_round_in_which_nothing_is_kept_is_judged_and_told(project: Project) -> None:
    project = project.with_settings(filters=[{"name": "length", "options": {"min_tokens": 60}}])
    plan = project.generated(project.plan())
    found = refine(project.workspace(), plan)
    assert found.kept == 0
    report = judge_round(project.workspace(), plan)
    assert report.verdict is GateVerdict.FAIL
    assert "row count" in [check.name for check in report.failed()]
    write_report(project.workspace(), plan)


def test_the_report_is_a_page_with_a_choice_of_every_outcome(refined: tuple[Project, Plan, Staged]) -> None:
    project, plan, _ = refined
    judge_round(project.workspace(), plan)
    key = write_report(project.workspace(), plan).key
    assert key == report_key(plan)
    page = project.store.read(key).decode()
    assert page.lstrip().lower().startswith("<!doctype html>") and plan.version in page
    shown = samples(page)
    assert len(shown) == project.settings.output.report_samples
    assert {row["outcome"] for row in shown} == {"kept", "dropped", "failed"}
    assert write_report(project.workspace(), plan).key == key and project.store.read(key).decode() == page
