"""After a change of what only bounds a round, nothing finished is sampled again, and the rows are those of a round that
was planned so from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from qstar_core.engine.protocol import Finished, Job
from qstar_core.mixture.diagnostics import summarise
from qstar_core.records import FinishReason, Sample
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import finished_samples
from tests.stages.scripted import EngineDiedError, Project, trace_of
from tests.stages.test_generate import told


@dataclass
class PrefixEngine:
    """A sample is the beginning of one endless text, which its limit or its own end cuts: so engines work whose random
    numbers belong to positions."""

    max_tokens: int
    context: int
    diagnostics: bool = True
    dies_after: int | None = None
    asked: list[str] = field(default_factory=list)

    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        todo = list(jobs)
        self.asked += [job.sample_id for job in todo]
        for count, job in enumerate(todo):
            if count == self.dies_after:
                raise EngineDiedError
            room = self.context - max(len(job.pair.student_ids), len(job.pair.teacher_ids))
            limit, end = min(self.max_tokens, room), 1 + int(job.sample_id, 16) % 12
            length = min(end, limit)
            trace = trace_of(job.sample_id, length)
            sample = Sample(id=job.sample_id, prompt_id=job.pair.prompt_id, draw=job.draw, seed=0,
                            completion=" ".join(["a)"] * length), max_tokens=self.max_tokens,
                            token_ids=tuple(range(length)), summary=summarise(trace) if self.diagnostics else None,
                            finish_reason=FinishReason.STOP if end <= limit else FinishReason.LENGTH)
            yield Finished(sample, trace if self.diagnostics else None)


def sampled(project: Project, plan: Plan, dies_after: int | None = None) -> list[str]:
    """The samples that an engine was asked for."""
    settings = project.settings
    engine = PrefixEngine(settings.sampling.max_tokens, plan.context, settings.engine.diagnostics, dies_after)
    project.generated(plan, engine)
    return engine.asked


def rows(project: Project, plan: Plan) -> list[Any]:
    with project.workspace().scratch() as scratch:
        return [told(finished) for _, _, finished in finished_samples(project.workspace(), plan, scratch)]


def ids(project: Project, plan: Plan, reason: FinishReason | None = None) -> set[str]:
    with project.workspace().scratch() as scratch:
        return {finished.sample.id for _, _, finished in finished_samples(project.workspace(), plan, scratch)
                if reason in (None, finished.sample.finish_reason)}


BEFORE: dict[str, Any] = {"sampling__max_tokens": 5, "sampling__draws": 4}


@pytest.mark.parametrize("change", [
    {"sampling__max_tokens": 9}, {"sampling__max_tokens": 64}, {"sampling__max_tokens": 3}, {"sampling__draws": 6},
    {"sampling__draws": 2}, {"round__shard_size": 12}, {"round__shard_size": 1}, {"engine__context": 127}], ids=str)
def test_the_rows_are_those_of_one_go_and_only_the_rest_is_sampled(project: Project, change: dict[str, Any]) -> None:
    before = project.with_settings(**BEFORE)
    sampled(before, first := before.plan())
    after = project.with_settings(**BEFORE | change)
    plan = after.plan()
    asked = sampled(after, plan)
    fresh = project.with_settings(**BEFORE | change, dataset="fresh")
    in_one_go = sampled(fresh, whole := fresh.plan())
    assert rows(after, plan) == rows(fresh, whole)
    assert len(asked) == len(set(asked)) == plan.samples - plan.taken_over < len(in_one_go)
    if after.settings.sampling.max_tokens > 5:
        assert set(asked) == ids(before, first, FinishReason.LENGTH), "only what was cut"
    if change.keys() & {"round__shard_size", "engine__context"} or after.settings.sampling.draws < 4:
        assert not asked
    assert after.plan() == plan, "planned once"


@pytest.mark.parametrize("change", [{"sampling__temperature": 0.5}, {"sampling__seed": 3},
                                    {"alpha__fixed": 0.2}, {"engine__diagnostics": False},
                                    {"engine__top_logprobs": 3}], ids=str)
def test_what_decides_the_samples_or_their_record_begins_anew(project: Project, change: dict[str, Any]) -> None:
    before = project.with_settings(**BEFORE)
    sampled(before, before.plan())
    after = project.with_settings(**BEFORE | change)
    plan = after.plan()
    assert plan.taken_over == 0 and len(sampled(after, plan)) == plan.samples


def test_rows_of_a_round_that_died_are_taken_over_from_its_checkpoints(project: Project) -> None:
    before = project.with_settings(**BEFORE)
    plan = before.plan()
    with pytest.raises(EngineDiedError):
        sampled(before, plan, dies_after=3)
    assert list(project.store.list(plan.parts_key(0)))
    after = project.with_settings(**BEFORE | {"sampling__max_tokens": 64})
    later = after.plan()
    assert 0 <= later.taken_over <= 2 and len(sampled(after, later)) == later.samples - later.taken_over
    again = project.with_settings(**BEFORE | {"round__shard_size": 8})
    assert again.plan().taken_over >= 2, "whole rows of both, each once"


def test_failed_samples_and_damaged_files_are_not_taken_over(project: Project) -> None:
    """The scripted engine lets one sample in eight fail."""
    before = project.with_settings(sampling__draws=4)
    first = before.generated(before.plan())
    failed = ids(before, first, FinishReason.ERROR)
    cut = ids(before, first, FinishReason.LENGTH)
    assert failed and cut
    after = project.with_settings(sampling__draws=4, round__shard_size=8)
    assert after.plan().taken_over == first.samples - len(failed) - len(cut), "cut short of the limit"
    damaged = next(info.key for info in project.store.list(f"{first.key}/shards/"))
    project.store.write(damaged, b"PAR1 no more")
    other = project.with_settings(sampling__draws=4, round__shard_size=12)
    assert 0 < other.plan().taken_over <= first.samples - len(failed) - len(cut)


def test_a_plan_cut_off_while_it_takes_over_is_the_same_when_planned_again(project: Project) -> None:
    before = project.with_settings(**BEFORE)
    sampled(before, before.plan())
    after = project.with_settings(**BEFORE | {"sampling__max_tokens": 64})
    plan = after.plan()
    parts = {info.key: info.etag for info in project.store.list(f"{plan.key}/parts/")}
    project.store.delete(f"{plan.plan_key}/plan.json")
    again = after.plan()
    assert again.taken_over == plan.taken_over > 0
    assert {info.key: info.etag for info in project.store.list(f"{plan.key}/parts/")} == parts
