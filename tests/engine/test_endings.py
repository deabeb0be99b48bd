"""How samples end, and that every job does exactly once."""

import pytest

from qstar_core.engine.protocol import Job
from qstar_core.records import FinishReason
from tests.engine.models import ASSISTANT, END, USER, Duo, by_id, jobs, pair_of_prompts, prompts


@pytest.fixture(scope="module")
def finished(eight: Duo):
    return by_id(eight.engine(slots=8, max_tokens=6).generate(jobs(prompts(10, 8), draws=6)))


def test_the_end_of_turn_ends_a_sample_and_belongs_to_it(finished):
    stopped = [one for one in finished.values() if one.sample.finish_reason is FinishReason.STOP]
    assert stopped
    for one in stopped:
        assert one.sample.token_ids[-1] == one.trace.token[-1] == END
        assert END not in one.sample.token_ids[:-1]
        assert "<end>" not in one.sample.completion
        words = [token for token in one.sample.token_ids if token >= 5]
        assert one.sample.completion.split() == [f"w{token}" for token in words]


def test_without_an_end_of_turn_a_sample_is_as_long_as_allowed(finished):
    cut = [one for one in finished.values() if one.sample.finish_reason is FinishReason.LENGTH]
    assert cut
    for one in cut:
        assert len(one.sample.token_ids) == one.sample.max_tokens == 6
        assert END not in one.sample.token_ids


def test_an_end_of_turn_on_the_last_token_is_still_an_end(eight: Duo):
    found = by_id(eight.engine(slots=8, max_tokens=1).generate(jobs(prompts(10, 8), draws=10)))
    assert {one.sample.finish_reason for one in found.values()} == {FinishReason.STOP, FinishReason.LENGTH}
    for one in found.values():
        ended = one.sample.token_ids == (END,)
        assert (one.sample.finish_reason is FinishReason.STOP) == ended
        assert not ended or one.sample.completion == ""


def test_trace_and_summary_are_as_long_as_the_sample(finished):
    for one in finished.values():
        assert len(one.trace) == len(one.sample.token_ids) == one.sample.summary.tokens
        assert one.trace.token.tolist() == list(one.sample.token_ids)
        assert one.sample.summary.alpha_mean == pytest.approx(one.trace.alpha.mean(), abs=1e-6)
        assert one.sample.error is None


def test_every_model_s_end_of_turn_counts(eight: Duo):
    both = Duo(eight.student, type(eight.teacher)("teacher", eight.teacher.network, eight.teacher.device,
                                                  frozenset({END, 7})), eight.tokenizer, 8)
    found = by_id(both.engine(slots=8, max_tokens=20).generate(jobs(prompts(10, 8), draws=4)))
    assert {one.sample.token_ids[-1] for one in found.values()} >= {END, 7}
    assert all(not {END, 7} & set(one.sample.token_ids[:-1]) for one in found.values())


@pytest.mark.parametrize("long_side", ["student", "teacher"])
def test_the_context_bounds_the_longer_side(eight: Duo, long_side):
    short, long = [USER, 5, END, ASSISTANT], [USER, *[6] * 9, END, ASSISTANT]
    sides = (long, short) if long_side == "student" else (short, long)
    found = by_id(eight.engine(max_tokens=50, context=16).generate(jobs([pair_of_prompts("p", *sides)], 12)))
    lengths = {len(one.sample.token_ids) for one in found.values()
               if one.sample.finish_reason is FinishReason.LENGTH}
    assert lengths == {16 - 12}
    assert all(one.sample.max_tokens == 50 for one in found.values())


@pytest.mark.parametrize("full_side", ["student", "teacher"])
@pytest.mark.parametrize("excess", [0, 5])
def test_a_prompt_that_fills_the_context_fails_alone(eight: Duo, full_side, excess):
    short, full = [USER, 5, END, ASSISTANT], [USER, *[6] * (13 + excess), END, ASSISTANT]
    sides = (full, short) if full_side == "student" else (short, full)
    good = prompts(3, 8)
    expected = by_id(eight.engine(context=16).generate(jobs(good, 2)))
    bad = pair_of_prompts("full", *sides)
    found = by_id(eight.engine(context=16).generate(jobs([bad, good[0], bad.model_copy(update={"prompt_id": "full-2"}),
                                                         *good[1:]], 2)))
    assert len(found) == 10
    for name in ("full/0", "full/1", "full-2/0", "full-2/1"):
        sample = found[name].sample
        assert sample.finish_reason is FinishReason.ERROR
        assert "context of 16 tokens" in sample.error
        assert (sample.token_ids, sample.completion, sample.summary, found[name].trace) == ((), "", None, None)
    for name, one in expected.items():
        assert found[name].sample == one.sample


def test_nothing_but_roomless_prompts_still_ends_every_job(eight: Duo):
    full = pair_of_prompts("full", [5] * 40, [5] * 4)
    found = by_id(eight.engine(slots=2, context=16).generate(jobs([full], 7)))
    assert len(found) == 7


def test_no_jobs_is_no_samples(eight: Duo):
    assert list(eight.engine().generate([])) == []


def test_jobs_are_taken_when_there_is_a_seat_for_them(eight: Duo):
    taken = []

    def many():
        for draw in range(500):
            taken.append(draw)
            yield Job(f"j{draw}", prompts(1, 8)[0], draw)

    running = eight.engine(slots=3, max_tokens=4).generate(many())
    assert taken == []
    for finished_so_far in range(1, 20):
        next(running)
        assert len(taken) <= 3 + finished_so_far
    running.close()
    assert len(taken) < 30


def test_closing_a_run_early_closes_it(eight: Duo):
    running = eight.engine(slots=3).generate(jobs(prompts(4, 8), 4))
    next(running)
    running.close()
    assert list(running) == []
