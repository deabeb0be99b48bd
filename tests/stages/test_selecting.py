"""Best of n, shares, replay: every sample is still in one place, the funnel whole, and the bytes the same again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConfigError, DataError
from qstar_core.records import GateVerdict, Manifest
from qstar_core.stages.judging import gate_report, judge_round
from qstar_core.stages.plan import Plan
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import Staged, refine
from qstar_core.stages.reporting import verdicts, write_report
from qstar_core.store.integrity import sha256_bytes
from qstar_core.store.versions import Versions
from tests.stages.scripted import Project

NO_DEDUPLICATION = [{"name": "finish"}, {"name": "answer"}]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"sort {i} {i + 1}", "answer": f"{i} {i + 1}",
                                          "kind": "even" if i % 2 == 0 else "odd"}) for i in range(20)))
    return path


def refined(project: Project, source: Path, round_name: str = "r1", **flags: Any) -> tuple[Project, Plan, Staged]:
    defaults: dict[str, Any] = {"source__path": str(source), "round__prompts": 10, "round__shard_size": 16,
                                "sampling__draws": 4, "filters": NO_DEDUPLICATION}
    project = project.with_settings(**defaults | flags)
    plan = project.generated(project.plan(round_name))
    return project, plan, refine(project.workspace(), plan)


def lines(project: Project, key: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.store.read(f"{key}/{name}/{name}.jsonl").splitlines()]


def check_every_sample_in_one_place(project: Project, plan: Plan, found: Staged, replayed: int = 0) -> None:
    data, rejects, diagnostics = (lines(project, plan.staged_key, name) for name in ("data", "rejects", "diagnostics"))
    own = [row for row in data if row["version"] == plan.version]
    assert len(own) == found.kept and len(data) - len(own) == sum(found.replay.values()) == replayed
    assert sorted([row["sample_idx"] for row in own] + [row["sample_idx"] for row in rejects]) == list(
        range(plan.samples))
    assert [row["sample_idx"] for row in rejects] == sorted(row["sample_idx"] for row in rejects)
    told = {row["sample_id"]: (row["outcome"], row["stage"], row["reason"]) for row in diagnostics}
    assert all(told[row["sample_id"]] == ("kept", "", "") for row in own)
    assert all(told[row["sample_id"]] == (row["outcome"], row["stage"], row["reason"]) for row in rejects)
    entering = plan.samples
    for step in found.funnel[2:]:
        assert step.entered == entering == step.kept + sum(step.dropped.values())
        entering = step.kept
    assert entering == found.kept
    counted = Counter((row["stage"], row["reason"]) for row in rejects)
    assert counted == {(step.stage, reason): n for step in found.funnel for reason, n in step.dropped.items()}
    for ref in found.files:
        assert sha256_bytes(project.store.read(ref.key)) == ref.sha256


@pytest.mark.parametrize("method", ["verification", "likelihood", "teacher_likelihood", "majority"])
def test_the_best_of_n_stays_and_the_rest_is_told(project: Project, source: Path, method: str) -> None:
    project, plan, found = refined(project, source, best_of__method=method)
    check_every_sample_in_one_place(project, plan, found)
    data = lines(project, plan.staged_key, "data")
    assert max(Counter(row["prompt_id"] for row in data).values()) == 1
    assert found.funnel[-1].stage == "best of n" and found.funnel[-1].dropped == {
        "not the best of n": found.not_chosen}
    assert found.not_chosen > 0
    dropped = [row for row in lines(project, plan.staged_key, "rejects") if row["stage"] == "best of n"]
    assert all(row["completion"] and row["prompt"] and row["question"] for row in dropped)


def test_the_likeliest_draw_stays(project: Project, source: Path) -> None:
    project, plan, _ = refined(project, source, best_of__method="likelihood")
    rates = {row["sample_id"]: row["logq_sum"] / row["tokens"]
             for row in lines(project, plan.staged_key, "diagnostics") if row["tokens"]}
    rivals: dict[str, list[float]] = {}
    for row in lines(project, plan.staged_key, "rejects"):
        if row["stage"] == "best of n":
            rivals.setdefault(row["prompt_id"], []).append(rates[row["sample_id"]])
    assert rivals
    for row in lines(project, plan.staged_key, "data"):
        assert rates[row["sample_id"]] >= max(rivals.get(row["prompt_id"], [-99.0]))


def test_without_scores_the_reward_is_an_error(project: Project, source: Path) -> None:
    with pytest.raises(ConfigError, match="no filter scores"):
        refined(project, source, best_of__method="reward")
    with pytest.raises(DataError, match="holds no reward"):
        refined(project, source, best_of__method="reward", best_of__score_column="mine")


def test_the_gates_keep_rate_and_the_report_know_what_was_left_out(project: Project, source: Path) -> None:
    project, plan, found = refined(project, source, best_of__method="likelihood", gate__min_keep_rate=0.3,
                                   output__report_samples=40)
    judge_round(project.workspace(), plan)
    checks = {check.name: check for check in gate_report(project.workspace(), plan).checks}
    assert checks["row count"].value == found.kept
    assert checks["keep rate"].value == (found.kept + found.not_chosen) / found.samples > 0.3
    assert found.kept / found.samples < 0.3
    page = project.store.read(write_report(project.workspace(), plan).key).decode()
    assert "not the best of n" in page
    with project.workspace().scratch() as scratch:
        told = Counter(verdict.outcome.value for verdict in verdicts(project.workspace(), found, scratch))
    assert told["kept"] == found.kept


def test_shares_are_reached_and_figures_told(project: Project, source: Path) -> None:
    project, plan, found = refined(project, source, mixing__kind={"even": 0.8}, mixing__max_drop=0.9)
    check_every_sample_in_one_place(project, plan, found)
    kinds = Counter(row["kind"] for row in lines(project, plan.staged_key, "data"))
    assert abs(kinds["even"] - 0.8 * found.kept) <= 1 and kinds["odd"]
    assert {line.value: line.taken for line in found.shares} == {"even": kinds["even"], "other": kinds["odd"]}


def test_difficulty_is_the_share_of_right_draws(project: Project, source: Path) -> None:
    project, plan, found = refined(project, source, mixing__difficulty={"easy": 1.0}, mixing__max_drop=1.0)
    check_every_sample_in_one_place(project, plan, found)
    right: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    for name in ("data", "rejects"):
        for row in lines(project, plan.staged_key, name):
            if row.get("outcome") != "failed":
                text = row["completion"] if name == "rejects" else row["messages"][-1]["content"]
                all_[row["prompt_id"]] += 1
                right[row["prompt_id"]] += text.endswith(f"answer {row['answer']}")
    easy = {name for name, count in all_.items() if count >= 4 and right[name] / count >= 0.67}
    kept = {row["prompt_id"] for row in lines(project, plan.staged_key, "data")}
    assert kept == easy != set()
    few, plan, found = refined(project, source, mixing__difficulty={"unknown": 1.0}, mixing__min_draws=5)
    check_every_sample_in_one_place(few, plan, found)
    assert [line.available for line in found.shares if line.value == "unknown"] == [found.kept]


def published(project: Project, source: Path, round_name: str, **flags: Any) -> tuple[Project, Manifest]:
    project, plan, _ = refined(project, source, round_name, gate__warn_only=["keep rate"], **flags)
    judge_round(project.workspace(), plan)
    write_report(project.workspace(), plan)
    version = publish(project.workspace(), plan)
    return project, Versions(project.store, "demo").manifest(version.version)


def test_older_rows_come_back_by_their_share_alone(project: Project, source: Path) -> None:
    _, first = published(project, source, "r1")
    flags = {"mixing__replay": {"share": 0.25, "versions": 3}, "source__start": 4}  # six prompts come in both rounds
    second, plan, found = refined(project, source, "r2", **flags)
    count = sum(found.replay.values())
    assert found.replay == {first.version: count} and count == int(found.kept / 3) > 0
    check_every_sample_in_one_place(second, plan, found, replayed=count)
    data = lines(second, plan.staged_key, "data")
    said = Counter((row["prompt_id"], " ".join(row["messages"][-1]["content"].split()))
                   for row in data if row["version"] == first.version)
    own = {(row["prompt_id"], " ".join(row["messages"][-1]["content"].split()))
           for row in data if row["version"] == plan.version}
    assert set(said.values()) == {1} and not own & set(said)
    assert all(row["sample_idx"] is None and row["round"] == "r1" for row in data if row["version"] == first.version)
    assert refine(second.workspace(), plan) == found, "the same bytes again"


def test_replay_is_in_manifest_and_card_and_follows_the_lineage(project: Project, source: Path) -> None:
    names = [published(project, source, "r1", round__prompts=4)[1].version]
    for round_name in ("r2", "r3"):
        _, manifest = published(project, source, round_name, round__prompts=4, mixing__replay={"share": 0.5,
                                                                                               "versions": 2})
        assert set(manifest.replay) <= set(names) and manifest.parents == (names[-1],)
        card = project.store.read(f"datasets/demo/versions/{manifest.version}/README.md").decode()
        assert f"{sum(manifest.replay.values())} more rows come from earlier versions" in card
        data = lines(project, f"datasets/demo/versions/{manifest.version}", "data")
        assert len(data) == manifest.rows
        assert Counter(row["version"] for row in data if row["version"] != manifest.version) == manifest.replay
        names.append(manifest.version)
    assert set(manifest.replay) == {names[0], names[1]}, "of the last two versions, and the first by way of the second"


def test_a_version_published_meanwhile_does_not_change_what_is_replayed(project: Project, source: Path) -> None:
    published(project, source, "r1")
    second, plan, found = refined(project, source, "r2", mixing__replay={"share": 0.3, "versions": 3})
    published(project, source, "r3")
    assert refine(second.workspace(), plan) == found


def test_settings_of_choosing_make_another_version_of_the_same_samples(project: Project, source: Path) -> None:
    _, plan, _ = refined(project, source)
    _, other, _ = refined(project, source, best_of__keep=2)
    assert other.key == plan.key and other.version != plan.version


def test_replayed_rows_are_what_the_gate_expects_and_no_duplicates(project: Project, source: Path) -> None:
    published(project, source, "r1")
    flags = {"mixing__replay": {"share": 0.25, "versions": 3}, "source__start": 10}
    second, plan, found = refined(project, source, "r2", **flags)
    assert found.replay
    told = {check.name: check for check in judge_round(second.workspace(), plan).checks}
    assert told["data suite"].verdict is GateVerdict.PASS, told["data suite"]
    assert told["duplicates"].value == 0
