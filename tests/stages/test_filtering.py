"""What filters are given: the version before, evaluation sets, models; and refining with them writes every score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import DataError, ModelError, QstarError
from qstar_core.records import Outcome
from qstar_core.stages.filtering import earlier_rows, filter_context, source_texts
from qstar_core.stages.judging import judge_round
from qstar_core.stages.plan import Plan
from qstar_core.stages.planning import check_settings
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from tests.reward.models import checkpoint
from tests.stages.scripted import Project


def lines(project: Project, plan: Plan, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.store.read(f"{plan.staged_key}/{name}").splitlines()]


def texts(project: Project, plan: Plan) -> list[str]:
    return [row["messages"][-1]["content"] for row in lines(project, plan, "data/data.jsonl")]


def test_the_version_before_is_that_of_another_round_and_stays_the_same(project: Project) -> None:
    """Before and after a round is published, and beside another version of it, refining compares with the same rows."""
    first = project.judged("r1")
    assert list(earlier_rows(project.workspace(), first)) == []
    publish(project.workspace(), first)
    assert list(earlier_rows(project.workspace(), first)) == []
    again = project.with_settings(filters=[{"name": "finish"}]).judged("r1")
    assert again.version != first.version and list(earlier_rows(project.workspace(), again)) == []
    said = texts(project, again)
    publish(project.workspace(), again)
    second = project.judged("r2")
    assert [row.completion for row in earlier_rows(project.workspace(), second)] == said
    publish(project.workspace(), second)
    publish(project.workspace(), project.judged("r3"))
    assert [row.completion for row in earlier_rows(project.workspace(), second)] == said


def test_rows_of_the_version_before_are_dropped_where_asked(project: Project) -> None:
    publish(project.workspace(), project.judged("r1"))
    options = {"earlier": True, "min_words": 1, "ngram": 1, "threshold": 0.3}
    again = project.with_settings(filters=[{"name": "finish"}, {"name": "near_duplicate", "options": options}])
    plan = again.generated(again.plan("r2"))
    found = refine(again.workspace(), plan)
    step = found.funnel[-1]
    assert step.dropped["near-duplicate of the version before"] > 0
    assert step.entered == step.kept + sum(step.dropped.values())
    scores = [row["score"] for row in lines(again, plan, "rejects/rejects.jsonl") if row["stage"] == "near_duplicate"]
    assert scores and all(0.3 <= score <= 1 for score in scores)


def test_an_evaluation_set_is_whatever_a_source_is(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "exam.jsonl"
    path.write_text('{"question": "how many legs", "answer": "4", "solution": "count them"}\nbroken\n')
    assert list(source_texts(str(path))) == ["how many legs", "count them"]
    given = filter_context(project.workspace(), project.plan()).texts("builtin:problems")
    assert next(given)


def test_scores_and_what_was_logged_are_written_beside_every_sample(project: Project, tmp_path: Path) -> None:
    """A percentile of the whole round, a filter that only logs, and the report of what refining decided."""
    model = checkpoint(tmp_path / "reward")
    project = project.with_settings(filters=[
        {"name": "finish"}, {"name": "answer", "action": "log"},
        {"name": "reward", "options": {"model": str(model), "percentile": 30}}])
    plan = project.generated(project.plan())
    found = refine(project.workspace(), plan)
    answer, reward = found.funnel[-2:]
    assert answer.dropped == {} and answer.logged["wrong answer"] > 0
    assert 0.1 <= reward.dropped["low reward"] / reward.entered <= 0.3
    rows = lines(project, plan, "diagnostics/diagnostics.jsonl")
    scores = {row["sample_id"]: {f["filter"]: f for f in row["findings"]} for row in rows}
    lowest = [row["score"] for row in rows if row["stage"] == "reward"]
    kept = [scores[row["sample_id"]]["reward"]["score"] for row in rows if row["outcome"] == Outcome.KEPT]
    assert max(lowest) <= min(kept)
    logged = [f["answer"]["logged"] for f in scores.values() if "answer" in f]
    assert len(logged) == sum(answer.logged.values())
    judge_round(project.workspace(), plan)
    page = project.store.read(write_report(project.workspace(), plan).key).decode()
    assert "low reward" in page


@pytest.mark.parametrize(("step", "error", "told"), [
    ({"name": "contamination", "options": {"against": ["no/exam.jsonl"]}}, DataError, "no/exam.jsonl"),
    ({"name": "reward", "options": {"model": "./no/model", "percentile": 5}}, ModelError, "no/model"),
    ({"name": "semantic_duplicate", "options": {"model": "./no/model"}}, ModelError, "no/model"),
])
def test_what_is_missing_is_told_before_a_sample_is_drawn(
    project: Project, step: dict[str, Any], error: type[QstarError], told: str
) -> None:
    with pytest.raises(error, match=told):
        check_settings(project.with_settings(filters=[step]).settings)
