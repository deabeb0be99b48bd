"""A sample is the same bits alone, in a crowd, in another order, and after a restart."""

from dataclasses import fields

import numpy as np
import pytest

from qstar_core.engine.protocol import Finished
from qstar_core.records import FinishReason, Trace
from tests.engine.models import Duo, by_id, jobs, prompts

COUNT = [6, pytest.param(40, marks=pytest.mark.slow)]


def assert_same(one: Finished, other: Finished) -> None:
    assert one.sample == other.sample
    for field in fields(Trace):
        assert np.array_equal(getattr(one.trace, field.name), getattr(other.trace, field.name)), field.name


@pytest.mark.parametrize("slots", [1, 3, 5])
@pytest.mark.parametrize("count", COUNT)
def test_alone_in_a_crowd_reversed_and_resumed(forty: Duo, count, slots):
    work = jobs(prompts(count, 40), draws=3)
    together = by_id(forty.engine(slots).generate(work))
    assert set(together) == {job.sample_id for job in work}
    assert {one.sample.finish_reason for one in together.values()} >= {FinishReason.LENGTH}
    reversed_order = by_id(forty.engine(slots).generate(work[::-1]))
    shuffled = [work[i] for i in np.random.default_rng(slots).permutation(len(work))]
    elsewhere = by_id(forty.engine(slots).generate(shuffled))
    half = by_id(forty.engine(slots).generate(work[: len(work) // 2]))
    rest = by_id(forty.engine(slots).generate(work[len(work) // 2:]))
    for job in work:
        alone = list(forty.engine(slots).generate([job]))
        for other in (reversed_order, elsewhere, {**half, **rest}, by_id(alone)):
            assert_same(together[job.sample_id], other[job.sample_id])


def test_one_engine_can_be_used_again(forty: Duo):
    engine = forty.engine(3)
    work = jobs(prompts(4, 40), draws=2)
    first, second = by_id(engine.generate(work)), by_id(engine.generate(work[::-1]))
    for name, one in first.items():
        assert_same(one, second[name])


def test_an_interrupted_run_leaves_nothing_behind(forty: Duo):
    engine = forty.engine(3)
    work = jobs(prompts(6, 40), draws=2)
    expected = by_id(forty.engine(3).generate(work))
    cut = engine.generate(work)
    for _ in range(2):
        next(cut)
    cut.close()
    for name, one in by_id(engine.generate(work)).items():
        assert_same(one, expected[name])


def test_draws_of_one_prompt_share_a_prefill_and_differ(forty: Duo, monkeypatch):
    engine = forty.engine(4)
    counted = []
    prefill = engine._models.prefill
    monkeypatch.setattr(engine._models, "prefill", lambda slot, pair: counted.append(slot) or prefill(slot, pair))
    found = by_id(engine.generate(jobs(prompts(1, 40), draws=8)))
    assert len(counted) == 1
    assert len({one.sample.token_ids for one in found.values()}) > 1


def test_seed_and_draw_and_prompt_id_each_change_the_sample(forty: Duo):
    pair = prompts(1, 40)[0]
    base = next(forty.engine().generate(jobs([pair]))).sample.token_ids
    assert next(forty.engine(seed=1).generate(jobs([pair]))).sample.token_ids != base
    assert next(forty.engine().generate(jobs([pair], 2)[1:])).sample.token_ids != base
    renamed = pair.model_copy(update={"prompt_id": "another"})
    assert next(forty.engine().generate(jobs([renamed]))).sample.token_ids != base


def test_a_longer_limit_only_lengthens(forty: Duo):
    work = jobs(prompts(5, 40))
    short, long = by_id(forty.engine(max_tokens=5).generate(work)), by_id(forty.engine(max_tokens=15).generate(work))
    for name, one in short.items():
        assert long[name].sample.token_ids[: len(one.sample.token_ids)] == one.sample.token_ids


def test_free_shapes_draw_the_same_tokens_up_to_float_noise(forty: Duo):
    work = jobs(prompts(6, 40), draws=2)
    fixed, free = by_id(forty.engine().generate(work)), by_id(forty.engine(deterministic=False).generate(work))
    same = [name for name in fixed if fixed[name].sample.token_ids == free[name].sample.token_ids]
    assert len(same) >= 0.9 * len(work)
    for name in same:
        np.testing.assert_allclose(fixed[name].trace.logq, free[name].trace.logq, atol=1e-3)


def test_without_diagnostics_the_tokens_are_the_same_and_nothing_is_measured(forty: Duo):
    work = jobs(prompts(6, 40), draws=2)
    told, silent = by_id(forty.engine().generate(work)), by_id(forty.engine(diagnostics=False).generate(work))
    for name, one in silent.items():
        assert one.trace is None
        assert one.sample.summary is None
        assert one.sample == told[name].sample.model_copy(update={"summary": None})
