"""A whole round with the real engine, on models that know nothing."""

from __future__ import annotations

from qstar_core.records import FinishReason, Sample
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.judging import judge_round
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import finished_samples, refine
from qstar_core.stages.reporting import write_report
from tests.stages.scripted import Project

LENIENT = {"filters": [], "gate__ess_ratio": {"low": 0.0, "high": 1e9}, "gate__alpha": {"low": 0.0, "high": 1.0},
           "sampling__max_tokens": 6, "engine__dtype": "float32"}


def sampled(project: Project, round_name: str = "r1") -> list[Sample]:
    plan = project.plan(round_name)
    for shard in plan.shards:
        generate_shard(project.workspace(), plan, shard.index,
                       lambda: engine_for(project.settings, plan.models, plan.context))
    with project.workspace().scratch() as scratch:
        return [finished.sample for _, _, finished in finished_samples(project.workspace(), plan, scratch)]


def test_a_round_from_prompts_to_a_version(project: Project) -> None:
    project = project.with_settings(**LENIENT)
    samples = sampled(project)
    assert len(samples) == 12
    assert all(sample.finish_reason is not FinishReason.ERROR and sample.summary for sample in samples)
    plan = project.plan()
    found = refine(project.workspace(), plan)
    assert judge_round(project.workspace(), plan).failed() == ()
    write_report(project.workspace(), plan)
    assert publish(project.workspace(), plan).rows == found.kept == 12


def test_shards_and_batches_leave_the_samples_as_they_are(project: Project) -> None:
    one = sampled(project.with_settings(**LENIENT, round__shard_size=99, engine__batch_size=12))
    other = sampled(project.with_settings(**LENIENT, dataset="other", round__shard_size=2, engine__batch_size=3))
    assert [(s.id, s.token_ids, s.completion) for s in one] == [(s.id, s.token_ids, s.completion) for s in other]
