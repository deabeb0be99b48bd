"""Paired tests keep their level, and give what enumeration gives."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from qstar_core.config import SetRole
from qstar_core.errors import DataError
from qstar_core.evaluation.intervals import identity
from qstar_core.evaluation.paired import better, difference, mcnemar, paired, ratio, sign_flip
from tests.evaluation.scores import set_score


def pairs(old, new):
    return paired(*(set_score("t", SetRole.TARGET, accuracy=values) for values in (old, new)), "accuracy")


def table(both, won, lost, neither):
    """The four-fold table of old and new."""
    return pairs([1] * both + [0] * won + [1] * lost + [0] * neither,
                 [1] * both + [1] * won + [0] * lost + [0] * neither)


@given(won=st.integers(0, 40), lost=st.integers(0, 40))
def test_mcnemar_counts_the_tail_of_fair_coins(won, lost):
    n = won + lost
    tail = sum(comb(n, k) for k in range(won, n + 1)) / 2**n
    assert mcnemar(won, lost) == pytest.approx(tail)
    if n:
        assert mcnemar(won, lost) == pytest.approx(binomtest(won, n, alternative="greater").pvalue)


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9).filter(any))
def test_the_permutation_test_counts_all_flips_of_few_problems(gains):
    sums = [sum(sign * gain for sign, gain in zip(signs, gains, strict=True))
            for signs in product((1, -1), repeat=len(gains))]
    expected = sum(total >= sum(gains) for total in sums) / len(sums)
    assert sign_flip(np.asarray(gains, dtype=float)) == pytest.approx(expected)


@settings(max_examples=40)
@given(both=st.integers(0, 30), won=st.integers(0, 30), lost=st.integers(0, 30), neither=st.integers(1, 30))
def test_exchanging_the_students_exchanges_the_difference(both, won, lost, neither):
    if both + won + lost + neither < 2:
        return
    there, back = (difference(one, identity, 0.9) for one in (table(both, won, lost, neither),
                                                             table(both, lost, won, neither)))
    assert there.low <= there.value <= there.high
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_newcombe_s_own_example():
    """Newcombe (1998), table II: 36, 12, 2 and 0 pairs."""
    found = difference(table(36, 12, 2, 0), identity, 0.95)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=2e-4)


def false_alarms(simulations: int, n: int, binary: bool) -> float:
    """How often equally good students differ at the 5 % level."""
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(simulations):
        hard = rng.beta(1, 1, n)
        old, new = (rng.binomial(1 if binary else 4, hard) / (1 if binary else 4) for _ in range(2))
        found += better(pairs(old, new)).p < 0.05
    return found / simulations


@pytest.mark.parametrize("binary", [True, False])
def test_the_level_is_kept(binary):
    assert false_alarms(100 if binary else 50, 30, binary) <= 0.12


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_the_level_is_kept_at_large_counts(binary):
    assert false_alarms(1_500, 60, binary) <= 0.062


def covered(simulations: int, n: int) -> float:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(simulations):
        hard = rng.random(n)
        old, new = rng.random(n) < 0.8 * hard, rng.random(n) < 0.8 * hard + 0.1
        found = difference(pairs(old.astype(float), new.astype(float)), identity, 0.9)
        inside += found.low <= 0.1 <= found.high
    return inside / simulations


def test_the_difference_is_covered():
    assert covered(300, 50) == pytest.approx(0.9, abs=0.06)


@pytest.mark.slow
def test_the_difference_is_covered_at_large_counts():
    assert covered(4_000, 100) == pytest.approx(0.9, abs=0.025)


def test_few_problems_that_all_agree_show_little():
    few, many = (difference(pairs([1.0] * n, [1.0] * n), identity, 0.9).low for n in (8, 400))
    assert few < -0.2 < -0.02 < many < 0


def test_a_ratio_of_lengths():
    found = ratio(pairs([10.0, 20, 30], [20.0, 40, 60]), 0.9)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    with pytest.raises(DataError, match="no value"):
        ratio(pairs([0.0, 0.0], [1.0, 2.0]), 0.9)


def test_only_problems_that_both_have_a_value_on_are_compared():
    old = set_score("t", SetRole.TARGET, accuracy=[1, 0, 1])
    new = old.model_copy(update={"outcomes": {"accuracy": ((0.0, 0.0), (1.0, 1.0), (1.0, 1.0))}})
    assert len(paired(old, new, "accuracy")) == 2
    with pytest.raises(DataError, match="no measure perplexity"):
        paired(old, new, "perplexity")
    with pytest.raises(DataError, match="different problems"):
        paired(old, new.model_copy(update={"prompts": ("a", "b", "c")}), "accuracy")
    nan = old.model_copy(update={"outcomes": {"accuracy": ((float("nan"), 1.0),) * 3}})
    with pytest.raises(DataError, match="no number"):
        paired(old, nan, "accuracy")
