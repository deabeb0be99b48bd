"""Intervals hold the true value as often as they say, and no measure is made of a number that is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.evaluation.intervals import identity, measured, wilson
from qstar_core.evaluation.measures.perplexity import Perplexity
from tests.evaluation.scores import parts

Z = 1.959963984540054


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_is_the_set_of_shares_that_a_score_test_does_not_refuse(n, share):
    right = round(share * n)
    low, high = wilson(right, n, 0.95)
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(right / n - bound) == pytest.approx(Z * math.sqrt(bound * (1 - bound) / n), rel=1e-6)
    assert 0 <= low <= right / n <= high <= 1


def coverage(simulations: int, n: int, draw, truth: float, confidence: float) -> float:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(simulations):
        found = measured("x", draw(rng, n), identity, confidence)
        inside += found.low <= truth <= found.high
    return inside / simulations


def binary(rng, n):
    return parts((rng.random(n) < 0.3).astype(float))


def clustered(rng, n):
    """Four draws of a problem resemble each other; the mean is 0.3."""
    return parts(rng.binomial(4, rng.beta(0.6, 1.4, n)) / 4)


@pytest.mark.parametrize(("draw", "confidence"), [(binary, 0.95), (binary, 0.8), (clustered, 0.95), (clustered, 0.8)])
def test_intervals_cover(draw, confidence):
    assert coverage(250, 60, draw, 0.3, confidence) == pytest.approx(confidence, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "confidence"), [(binary, 0.95), (binary, 0.8), (clustered, 0.95), (clustered, 0.8)])
def test_intervals_cover_at_large_counts(draw, confidence):
    assert coverage(4_000, 100, draw, 0.3, confidence) == pytest.approx(confidence, abs=0.035)


def test_draws_of_one_problem_are_not_problems_of_their_own():
    """Four equal draws of a problem say no more than one."""
    rng = np.random.default_rng(0)
    one = (rng.random(80) < 0.5).astype(float)
    four = measured("x", parts([*one[:-1], 0.5]), identity, 0.95)
    alone = measured("x", parts(one), identity, 0.95)
    assert four.method == "bootstrap" and alone.method == "Wilson"
    assert four.high - four.low == pytest.approx(alone.high - alone.low, rel=0.15)


@given(scale=st.floats(0.01, 5))
def test_perplexity_of_a_uniform_model_is_its_vocabulary(scale):
    found = measured("ppl", tuple((scale * n, float(n)) for n in (3, 8, 5)), Perplexity().transform, 0.95)
    assert found.value == pytest.approx(math.exp(scale))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_none_is_an_error(bad):
    with pytest.raises(DataError, match="target/accuracy is"):
        measured("target/accuracy", ((1.0, 1.0), (bad, 1.0)), identity, 0.95)


def test_no_value_at_all_is_an_error():
    with pytest.raises(DataError, match="no problem has a value of x"):
        measured("x", ((0.0, 0.0),), identity, 0.95)
