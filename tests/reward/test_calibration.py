"""Calibration finds the temperature that made the data, isotonic curves rise and are symmetric, and figures are what
they are called."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.reward.calibration import Calibration, fit, sigmoid
from qstar_core.reward.measures import accuracy, calibration_error, report
from tests.reward.models import pair


def drawn(temperature: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of pairs that are as sure as they should be after division by the temperature."""
    rng = np.random.default_rng(seed)
    difference = np.abs(rng.normal(0, 3 * temperature, count))
    right = rng.random(count) < 1 / (1 + np.exp(-difference / temperature))
    base = rng.normal(0, 1, count)
    return base + np.where(right, difference, -difference), base


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_that_made_the_data(temperature: float) -> None:
    chosen, rejected = drawn(temperature, 20_000)
    assert fit(chosen, rejected, "temperature").temperature == pytest.approx(temperature, rel=0.06)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-50, 50), min_size=10, max_size=60))
def test_an_isotonic_curve_rises_and_is_symmetric(differences: list[float]) -> None:
    values = np.asarray(differences)
    curve = fit(values, np.zeros(len(values)), "isotonic")
    at = np.linspace(-60, 60, 41)
    found = np.array([curve.preference(float(d)) for d in at])
    assert (np.diff(found) >= -1e-9).all() and ((found >= 0) & (found <= 1)).all()
    assert found + found[::-1] == pytest.approx(np.ones(41), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.floats(-50, 50))
def test_a_preference_and_its_opposite_are_one(temperature: float, first: float, second: float) -> None:
    curve = Calibration(temperature=temperature, slope=1, intercept=0, pairs=0)
    assert curve.preference(first - second) + curve.preference(second - first) == pytest.approx(1)
    assert 0 <= curve.preference(first - second) <= 1


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibration_lowers_the_error_of_a_model_that_is_too_sure(method: str) -> None:
    chosen, rejected = drawn(5.0, 3000)
    pairs = [pair(prompt=f"sort {i}") for i in range(3000)]
    found = report(pairs, list(chosen), list(rejected), method)  # type: ignore[arg-type]
    assert found.ece_before > 0.1 and found.ece_after < 0.03


def test_a_model_without_mistakes_does_not_claim_to_be_certain() -> None:
    curve = fit(np.full(20, 1000.0), np.zeros(20), "temperature")
    assert curve.preference(1000.0) == pytest.approx(21 / 22, abs=1e-3)
    assert curve.probability(1000.0) == pytest.approx(21 / 22, abs=1e-2)


def test_a_model_that_knows_nothing_is_not_sure() -> None:
    rng = np.random.default_rng(0)
    curve = fit(rng.normal(size=2000), rng.normal(size=2000), "temperature")
    assert abs(curve.preference(1.0) - 0.5) < 0.05
    constant = fit(np.zeros(50), np.zeros(50), "isotonic")
    assert constant.preference(0.0) == 0.5 and math.isfinite(constant.probability(0.0))


def test_too_few_pairs_are_an_error() -> None:
    with pytest.raises(DataError, match="too few"):
        fit(np.ones(4), np.zeros(4), "temperature")


def test_equal_scores_are_no_success_and_are_counted() -> None:
    found = accuracy(np.array([1.0, 0.0, -1.0, 2.0]))
    assert (found.value, found.ties, found.pairs) == (0.5, 1, 4)
    assert found.interval[0] < 0.5 < found.interval[1]


def test_the_calibration_error_by_hand() -> None:
    """Two bins: sure of 0.75 and right in half of four, sure of 0.9 and right in both of two."""
    sure = Calibration(temperature=1, slope=1, intercept=0, pairs=0)
    logit = [math.log(p / (1 - p)) for p in (0.75, 0.75, 0.75, 0.75, 0.9, 0.9)]
    differences = np.array([1, 1, -1, -1, 1, 1]) * logit
    assert calibration_error(differences, [sure] * 6) == pytest.approx((4 * 0.25 + 2 * 0.1) / 6)
    assert sigmoid(0) == 0.5


def test_length_bias_is_told() -> None:
    """A model that only counts words prefers the longer in every pair."""
    pairs = [pair(prompt=f"sort {i}", chosen="a " * (5 + i % 7), rejected="b " * (5 + (i * 3) % 11)) for i in range(80)]
    pairs = [one for one in pairs if len(one.chosen.split()) != len(one.rejected.split())]
    found = report(pairs, [len(one.chosen.split()) for one in pairs], [len(one.rejected.split()) for one in pairs],
                   "temperature").length
    assert found.score_with_length == pytest.approx(1) and found.longer_is_preferred == 1
    assert found.chosen_longer is not None and found.chosen_longer.value == 1
    assert found.chosen_shorter is not None and found.chosen_shorter.value == 0
    assert 0 < (found.longer_is_chosen or 0) < 1


def test_what_does_not_vary_has_no_correlation() -> None:
    pairs = [pair(prompt=f"sort {i}", chosen="a b", rejected="b a") for i in range(30)]
    rng = np.random.default_rng(1)
    found = report(pairs, list(rng.normal(size=30)), list(rng.normal(size=30)), "temperature").length
    assert found.score_with_length is None and found.longer_is_chosen is None
    assert found.matched is not None and found.matched.pairs == 30


def test_accuracy_is_told_by_kind() -> None:
    pairs = [pair(prompt=f"sort {i}", kind="odd" if i % 2 else "even") for i in range(60)]
    found = report(pairs, [float(i % 2) for i in range(60)], [0.5] * 60, "temperature")
    assert (found.by_kind["odd"].value, found.by_kind["even"].value, found.accuracy.value) == (1.0, 0.0, 0.5)


def test_no_pair_is_judged_by_a_curve_that_was_fitted_to_it() -> None:
    """A free curve fits noise: by itself it looks calibrated, on other prompts it does not."""
    rng = np.random.default_rng(2)
    differences = rng.normal(size=60)
    own = fit(differences, np.zeros(60), "isotonic")
    assert calibration_error(differences, [own] * 60) < 0.05
    pairs = [pair(prompt=f"sort {i}") for i in range(60)]
    assert report(pairs, list(differences), [0.0] * 60, "isotonic").ece_after > 0.05
