"""Speculation of any length draws what lockstep draws: token by token, and by the enumerated law."""

from dataclasses import fields

import numpy as np
import pytest

from qstar_core.config import EngineSettings, PolicySettings, SupportSettings
from qstar_core.engine.protocol import Finished
from qstar_core.errors import ConfigError
from qstar_core.records import FinishReason, Trace
from tests.engine.models import ASSISTANT, END, USER, Duo, by_id, jobs, pair_of_prompts, prompts
from tests.engine.test_batched import assert_same
from tests.engine.test_failures import POISON, poisoned, spoiled, with_side
from tests.engine.test_law import DEPTH, PROMPT, joint, mistaken, p_value, solved


def assert_equal_but_for_noise(one: Finished, other: Finished) -> None:
    assert one.sample.token_ids == other.sample.token_ids
    assert one.sample.finish_reason == other.sample.finish_reason
    assert one.sample.completion == other.sample.completion
    assert (one.trace is None) == (other.trace is None)
    for field in fields(Trace) if one.trace else ():
        if getattr(one.trace, field.name) is None:
            continue
        np.testing.assert_allclose(getattr(one.trace, field.name), getattr(other.trace, field.name),
                                   atol=2e-3, rtol=2e-3, err_msg=field.name)


def assert_all_equal(expected: dict[str, Finished], found: dict[str, Finished]) -> None:
    assert expected.keys() == found.keys()
    for name, one in expected.items():
        assert_equal_but_for_noise(one, found[name])


@pytest.mark.parametrize("gamma", [2, 4])
@pytest.mark.parametrize("draws", [6_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_the_joint_of_three_tokens_is_that_of_the_mixture_and_of_no_other(eight: Duo, gamma, draws):
    law, wrong = joint(eight, solved), joint(eight, mistaken)
    seen: dict[tuple[int, ...], int] = {}
    engine = eight.engine(slots=256, max_tokens=DEPTH, context=16, diagnostics=False, speculation=gamma)
    for one in by_id(engine.generate(jobs([PROMPT], draws))).values():
        seen[one.sample.token_ids] = seen.get(one.sample.token_ids, 0) + 1
    assert p_value(seen, law) >= 0.01
    assert p_value(seen, wrong) < 1e-6, "a wrong α must be noticed"
    assert engine.statistics.rounds.keys() == {gamma}


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("gamma", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_draft_length_draws_the_tokens_of_lockstep(eight: Duo, gamma, deterministic, count):
    work = jobs([PROMPT], count)
    options = {"slots": 128, "max_tokens": 6, "context": 16, "diagnostics": False}
    expected = by_id(eight.engine(**options).generate(work))
    found = by_id(eight.engine(**options, speculation=gamma, deterministic=deterministic).generate(work))
    assert expected.keys() == found.keys()
    for name, one in expected.items():
        assert found[name].sample == one.sample


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(("gamma", "slots"), [(1, 3), (2, 1), (3, 5), (4, 3), (7, 2), (30, 4)])
def test_prompts_of_any_length_in_any_batch_with_refill(forty: Duo, gamma, slots, deterministic):
    """Drafts reach beyond the end of the turn, beyond max_tokens and beyond the context."""
    work = jobs(prompts(9, 40), draws=3)
    expected = by_id(forty.engine(4, max_tokens=18, context=26).generate(work))
    engine = forty.engine(slots, max_tokens=18, context=26, speculation=gamma, deterministic=deterministic)
    assert_all_equal(expected, by_id(engine.generate(work)))
    assert len({len(one.sample.token_ids) for one in expected.values()}) > 3
    assert {one.sample.finish_reason for one in expected.values()} == {FinishReason.STOP, FinishReason.LENGTH}
    assert gamma == 1 or engine.statistics.tokens_per_teacher_forward > 1.05


@pytest.mark.parametrize("options", [
    {"temperature": 0.7}, {"sharpen": 1.7}, {"support": SupportSettings(top_k=5, apply_to="student")},
    {"support": SupportSettings(top_p=0.8), "temperature": 1.4},
    {"support": SupportSettings(min_p=0.2, apply_to="teacher")},
    {"teacher_first_token": True}, {"teacher_special_tokens": True}, {"method": "entropy"},
    {"method": "fixed", "fixed": 0.0}, {"method": "fixed", "fixed": 1.0},
    {"method": "fixed", "fixed": 0.0, "temperature": 0.5, "support": SupportSettings(top_k=5)},
    {"policy": PolicySettings(name="by_position", options={"tokens": 6})},
])
def test_whatever_is_mixed(forty: Duo, options):
    work = jobs(prompts(4, 40, seed=2), draws=2)
    expected = by_id(forty.engine(**options).generate(work))
    engine = forty.engine(**options, speculation=3)
    assert_all_equal(expected, by_id(engine.generate(work)))
    if options.get("fixed") == 0.0:
        assert engine.statistics.acceptance == 1, "what the student drafts is what the student says"
    else:
        assert 0.1 < engine.statistics.acceptance < 1


def test_with_fixed_shapes_the_same_bits_alone_in_a_crowd_and_resumed(forty: Duo):
    work = jobs(prompts(5, 40), draws=2)
    engine = forty.engine(3, speculation=3)
    together = by_id(engine.generate(work))
    cut = engine.generate(work)
    next(cut)
    cut.close()
    for other in (by_id(engine.generate(work[::-1])), by_id(forty.engine(3, speculation=3).generate(work[4:]))):
        for name, one in other.items():
            assert_same(together[name], one)
    for job in work:
        alone = next(forty.engine(3, speculation=3).generate([job]))
        assert_same(together[job.sample_id], alone)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_student_that_is_never_corrected_draws_a_whole_draft_a_round(forty: Duo, deterministic):
    engine = forty.engine(1, method="fixed", fixed=0.0, speculation=3, deterministic=deterministic)
    found = by_id(engine.generate(jobs(prompts(4, 40), draws=2)))
    assert sum(engine.statistics.rounds.values()) == sum(-(-len(one.sample.token_ids) // 3) for one in found.values())


def test_fixed_shapes_are_fixed(forty: Duo, monkeypatch):
    """Also where all rows are ready, and where no row has room for a whole draft."""
    engine = forty.engine(3, max_tokens=8, speculation=3)
    blocks, mixed = set(), set()
    mixer = engine._strategy._mixer
    teacher, step = engine._models.teacher, mixer.step
    monkeypatch.setattr(engine._models, "teacher", lambda ids, *more: blocks.add(ids.shape) or teacher(ids, *more))
    monkeypatch.setattr(mixer, "step", lambda theta, *more: mixed.add(len(theta)) or step(theta, *more))
    list(engine.generate(jobs(prompts(5, 40), draws=2)))
    assert blocks == {(3, 4)}
    assert mixed == {3, 9}


def test_the_context_bounds_the_draft(eight: Duo):
    """Nothing is written beyond the last column, also where only one side is that long."""
    for sides in (([USER, *[6] * 9, END, ASSISTANT], [USER, 5, END, ASSISTANT]),
                  ([USER, 5, END, ASSISTANT], [USER, *[6] * 9, END, ASSISTANT])):
        work = jobs([pair_of_prompts("p", *sides)], 12)
        expected = by_id(eight.engine(max_tokens=50, context=16).generate(work))
        assert_all_equal(expected, by_id(eight.engine(max_tokens=50, context=16, speculation=5).generate(work)))


@pytest.mark.parametrize("side", ["student", "teacher"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_draft_that_cannot_be_read_fails_the_sample_only_where_it_stands(forty: Duo, side, deterministic):
    """A refused draft leaves no trace, and a failure names the token that lockstep names."""
    pair = next(p for p in prompts(20, 40, seed=1) if POISON not in (*p.student_ids, *p.teacher_ids))
    work = jobs([pair], 60)
    duo = with_side(forty, side, poisoned)
    expected = by_id(duo.engine(slots=4).generate(work))
    found = by_id(duo.engine(slots=4, speculation=4, deterministic=deterministic).generate(work))
    assert_all_equal(expected, found)
    assert [one.sample.error for one in found.values()].count(None) < len(work)
    for name, one in expected.items():
        assert found[name].sample.error == one.sample.error


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_nan_weights_fail_every_sample_at_its_first_token(forty: Duo, side):
    found = by_id(with_side(forty, side, spoiled).engine(slots=2, speculation=3).generate(jobs(prompts(3, 40))))
    assert len(found) == 3
    assert all(one.sample.error.endswith("at token 0") for one in found.values())


def test_one_token_is_no_draft(eight: Duo):
    work = jobs(prompts(5, 8), draws=4)
    expected = by_id(eight.engine(slots=8, max_tokens=1).generate(work))
    assert_all_equal(expected, by_id(eight.engine(slots=8, max_tokens=1, speculation=4).generate(work)))


def test_statistics_count_what_the_samples_kept(forty: Duo):
    engine = forty.engine(3, speculation=3)
    assert engine.statistics.acceptance is engine.statistics.tokens_per_teacher_forward is None
    found = by_id(engine.generate(jobs(prompts(6, 40), draws=2)))
    told = engine.statistics
    assert told.tokens == sum(len(one.sample.token_ids) for one in found.values())
    assert told.rounds.keys() == {3}
    assert sum(told.rounds.values()) <= told.row_rounds <= 3 * sum(told.rounds.values())
    assert told.accepted + told.refused < told.tokens
    # All but the drafts that were judged came straight from the mixture: the first of a sample, and one after a full
    # acceptance.
    assert told.tokens - told.accepted - told.refused >= len(found)


def test_one_network_for_both_roles_is_refused_by_name(forty: Duo):
    both = Duo(forty.student, forty.student, forty.tokenizer, forty.vocab)
    with pytest.raises(ConfigError, match=r"engine\.speculation = 2 .* engine\.share_forward=false"):
        both.engine(speculation=2)
    assert by_id(both.engine(speculation="auto", deterministic=False).generate(jobs(prompts(1, 40))))


@pytest.mark.parametrize(("given", "means"), [("auto", "auto"), ("off", "off"), (False, "off"), (1, 1), (64, 64)])
def test_the_setting_says_what_yaml_says(given, means):
    assert EngineSettings(speculation=given).speculation == means


@pytest.mark.parametrize("wrong", [0, -1, 65, True, "on", 2.5, None])
def test_other_draft_lengths_are_refused(wrong):
    with pytest.raises(ValueError, match="speculation"):
        EngineSettings(speculation=wrong)
