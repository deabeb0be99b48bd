"""What a round would be is what it then is; looking leaves no trace; a change is named with what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qstar_core.stages.changes import Effect, changes
from qstar_core.stages.outlook import Outlook, outlook, rate
from qstar_core.stages.publishing import publish
from tests.stages.made import publish as publish_made
from tests.stages.scripted import EngineDiedError, Project, models_of, write_checkpoint


def looked(project: Project, round_name: str = "r1") -> Outlook:
    before = {info.key: info.etag for info in project.store.list("")}
    found = outlook(project.workspace(), round_name, project.models)
    assert {info.key: info.etag for info in project.store.list("")} == before
    return found


def test_what_is_shown_is_what_is_planned_and_done(project: Project) -> None:
    first = looked(project)
    assert not first.planned and not first.published and first.done == 0 and not first.changes
    plan = project.plan()
    assert (first.plan.version, first.plan.samples, first.plan.shards) == (plan.version, plan.samples, plan.shards)
    with pytest.raises(EngineDiedError):
        project.generated(plan, project.engine(plan, dies_after=plan.shards[0].samples - 1))
    died = looked(project)
    assert died.planned and died.shards_done == 0 and 0 < died.done < plan.shards[0].samples
    assert died.left == plan.samples - died.done
    publish(project.workspace(), project.judged())
    done = looked(project)
    assert done.published and done.left == 0 and done.shards_done == len(plan.shards)


def test_a_change_that_keeps_finished_samples_shows_how_many(project: Project) -> None:
    project.generated(project.plan())
    after = project.with_settings(round__shard_size=8, gate__min_rows=2)
    found = looked(after)
    assert found.plan.taken_over == found.done > 0 and not found.planned
    assert [(change.setting, change.old, change.new, change.effect) for change in found.changes] == [
        ("round.shard_size", 4, 8, Effect.PLAN), ("gate.min_rows", 1, 2, Effect.VERSION)]
    assert after.plan().taken_over == found.done


CHANGES: list[tuple[dict[str, Any], str, Effect | None]] = [
    ({"sampling__temperature": 0.7}, "sampling.temperature", Effect.SAMPLES),
    ({"alpha__policy": {"name": "by_position", "options": {"tokens": 9}}}, "alpha.policy.name", Effect.SAMPLES),
    ({"prompts__student": "{{ question }} ."}, "prompts.student", Effect.SAMPLES),
    ({"sampling__stop": ["x"]}, "sampling.stop", Effect.SAMPLES),
    ({"sampling__max_tokens": 9}, "sampling.max_tokens", Effect.PLAN),
    ({"source__limit": 4}, "source.limit", Effect.PLAN),
    ({"round__prompts": 4}, "round.prompts", Effect.PLAN),
    ({"engine__top_logprobs": 2}, "engine.top_logprobs", Effect.SAMPLES),
    ({"filters": []}, "filters", Effect.VERSION),
    ({"mixing__max_drop": 0.1}, "mixing.max_drop", Effect.VERSION),
    ({"engine__batch_size": 3}, "", None),
    ({"operations__notify": "slack-webhook/night"}, "", None),
    ({"source__s3__endpoint_url": "http://ada:secret@x"}, "", None),
]


@pytest.mark.parametrize(("change", "setting", "effect"), CHANGES, ids=str)
def test_a_change_is_named_with_what_follows(project: Project, change: dict[str, Any], setting: str,
                                             effect: Effect | None) -> None:
    plan, after = project.plan(), project.with_settings(**change)
    found = changes(plan, after.settings, project.models)
    if effect is None:
        assert not found
        return
    assert (found[0].setting, found[0].effect) == (setting, effect) and setting in found[0].told
    other = after.plan()
    assert (other.sampling_hash != plan.sampling_hash) == (effect is Effect.SAMPLES and "engine" not in setting)
    assert (other.key != plan.key) == (effect is not Effect.VERSION) and other.version != plan.version


def test_other_weights_and_values_that_stand_only_together_are_named(project: Project, tmp_path: Path) -> None:
    plan = project.plan()
    student = Path(project.models["student"].path)
    models = models_of(student, write_checkpoint(tmp_path / "t", 3))
    (change,) = changes(plan, project.settings, models)
    assert (change.setting, change.effect) == ("teacher.model", Effect.SAMPLES)
    bounded = project.with_settings(alpha__min=0.2, alpha__max=0.3).plan()
    moved = project.with_settings(alpha__min=0.5, alpha__max=0.6)
    assert {(change.setting, change.effect) for change in changes(bounded, moved.settings, project.models)} == {
        ("alpha.min", Effect.SAMPLES), ("alpha.max", Effect.SAMPLES)}


def test_estimates_are_means_of_the_last_rounds_and_absent_without_any(project: Project, tmp_path: Path) -> None:
    found = looked(project)
    assert found.rate is None and found.tokens is None and found.seconds is None and found.cost is None
    dataset = project.settings.dataset
    for name, speed in (("v0", {}), ("v1", {"tokens_per_second": 20.0, "samples_per_minute": 120.0}),
                        ("v2", {"tokens_per_second": 30.0, "samples_per_minute": 60.0})):
        publish_made(project.store, tmp_path / "x", name, dataset=dataset, speed=speed)
    mean = rate(project.workspace())
    assert mean is not None and mean.rounds == 2
    assert mean.tokens_a_sample == (10 + 30) / 2 and mean.samples_a_second == 2 / (1 / 2 + 1 / 1)
    priced = project.with_settings(operations__price_per_hour=3600.0, operations__runner="ray",
                                   operations__ray_workers=3)
    seen = looked(priced)
    assert seen.tokens == seen.left * 20 and seen.engines == 3
    assert seen.seconds == pytest.approx(seen.left / mean.samples_a_second / 3)
    assert seen.cost == pytest.approx(seen.left / mean.samples_a_second), "a second of an engine costs 1"
    short = looked(project.with_settings(sampling__max_tokens=4))
    assert short.tokens == short.most_tokens == short.left * 4, "never more than the limit"


def test_the_bound_knows_the_context_and_what_is_done(project: Project) -> None:
    """A sample ends with its limit or with the context, whichever comes first."""
    for limit in (4, 64, 1000):
        project = project.with_settings(sampling__max_tokens=limit, dataset=f"limit-{limit}")
        plan = project.plan()
        rooms = [plan.context - max(len(line.pair.student_ids), len(line.pair.teacher_ids))
                 for line in project.planned(plan) for _ in line.sample_ids]
        found = looked(project)
        assert found.most_tokens == sum(min(limit, room) for room in rooms)
        assert found.cramped == sum(room < limit for room in rooms)
        assert found.cramped == (0 if limit == 4 else found.left if limit == 1000 else found.cramped)
        project.generated(plan)
        assert looked(project).most_tokens == 0 == looked(project).cramped


def test_a_source_with_fewer_prompts_than_asked_for_is_told(project: Project) -> None:
    assert looked(project).too_few is None
    assert looked(project.with_settings(source__limit=4, dataset="few")).too_few == 6
    assert looked(project.with_settings(round__prompts=10**9, source__limit=50, dataset="many")).too_few == 10**9
