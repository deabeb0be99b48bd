"""Every fault is a fault: the text differs, stays in the task's words, and says what its kind says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.errors import ConfigError
from qstar_core.reward.corruptions import SEEN, UNSEEN, Fault, corrupted_pairs
from qstar_core.tiny.problems import WORDS


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.sets(st.sampled_from(list(Fault)), min_size=1))
def test_pairs_are_a_function_of_the_seed_and_each_has_a_named_fault(seed: int, faults: set[Fault]) -> None:
    chosen = sorted(faults)
    pairs = list(corrupted_pairs(seed, 30, chosen))
    assert pairs == list(corrupted_pairs(seed, 30, chosen))
    assert len({pair.prompt_id for pair in pairs}) == 30
    for pair in pairs:
        assert pair.chosen != pair.rejected and pair.kind in faults
        assert set(pair.rejected.split()) <= set(WORDS)


def test_the_right_answer_is_never_called_rejected() -> None:
    """A rejected text that is another way to write the right solution would teach noise."""
    for pair in corrupted_pairs(3, 400, tuple(Fault)):
        assert pair.rejected.split() != pair.chosen.split()
        if pair.kind == Fault.WRONG_ANSWER:
            assert pair.rejected.split()[-1] != pair.chosen.split()[-1]
        if pair.kind == Fault.TRUNCATED:
            assert pair.chosen.startswith(pair.rejected) and len(pair.rejected.split()) < len(pair.chosen.split())
        if pair.kind == Fault.REPEATED_STEP:
            assert any(a == b for a, b in itertools.pairwise(pair.rejected.split(" ; ")))


def _steps(text: str) -> list[list[str]]:
    return [step.split() for step in text.split(" ; ")[:-1]]


def test_an_error_that_is_carried_on_is_wrong_in_one_sum_alone() -> None:
    for pair in corrupted_pairs(5, 60, (Fault.CARRIED_ERROR,)):
        steps = _steps(pair.rejected)
        wrong = [step for step in steps
                 if int(step[1]) + int(step[3]) * (1 if step[2] == "+" else -1) != int(step[5])]
        assert 1 <= len(wrong) <= 2, "the sum itself, or a bound of the task's numbers that it runs into"
        assert all(one[5] == other[1] for one, other in itertools.pairwise(steps))
        assert pair.rejected.split()[-1] == steps[-1][5]


def test_what_is_trained_on_and_what_is_kept_out_have_nothing_in_common() -> None:
    assert not set(SEEN) & set(UNSEEN) and set(SEEN) | set(UNSEEN) == set(Fault)


def test_no_fault_is_an_error() -> None:
    with pytest.raises(ConfigError, match="wrong_total"):
        next(corrupted_pairs(0, 1, ()))
