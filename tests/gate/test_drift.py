"""Distances between distributions: 0 for the same, the same both ways, growing with the shift."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from qstar_core.gate.drift import edges, kolmogorov_smirnov, one_hot, stability_index

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=8).filter(any).map(lambda found: np.asarray(found, float))


@given(COUNTS)
def test_identical_counts_are_at_distance_zero(counts: np.ndarray) -> None:
    assert stability_index(counts, counts) == 0.0
    assert kolmogorov_smirnov(counts, counts) == 0.0


@given(st.integers(2, 8).flatmap(lambda bins: st.tuples(*[
    st.lists(st.integers(0, 500), min_size=bins, max_size=bins).filter(any).map(lambda f: np.asarray(f, float))] * 2)))
def test_distances_are_symmetric_and_not_negative(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    for distance in (stability_index, kolmogorov_smirnov):
        assert distance(one, other) == pytest.approx(float(distance(other, one)))
        assert distance(one, other) >= 0
    assert kolmogorov_smirnov(one, other) <= 1


def test_distances_grow_with_the_shift() -> None:
    before = np.random.default_rng(0).normal(100, 15, 2_000)
    bounds = edges(before, 10)
    reference = one_hot(before, bounds).sum(axis=0)
    for distance in (stability_index, kolmogorov_smirnov):
        found = [float(distance(one_hot(before + shift, bounds).sum(axis=0), reference)) for shift in (0, 2, 8, 20, 40)]
        assert found[0] == 0.0 and all(a < b for a, b in pairwise(found))


def test_scale_of_the_counts_does_not_matter_but_for_chance() -> None:
    one, other = np.asarray([3e5, 1e5]), np.asarray([1e5, 3e5])
    assert stability_index(one, other) == pytest.approx(2 * 0.5 * np.log(3), rel=1e-3)
    assert stability_index(10 * one, other) == pytest.approx(float(stability_index(one, other)), rel=1e-4)


def test_the_distance_of_lengths_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.integers(5, 60, 800).astype(float), rng.integers(8, 66, 700).astype(float)
    bounds = np.unique(before)
    found = kolmogorov_smirnov(one_hot(now, bounds).sum(axis=0), one_hot(before, bounds).sum(axis=0))
    assert found == pytest.approx(ks_2samp(before, now).statistic)


def test_bins_hold_about_equally_much_and_an_empty_one_is_no_impossibility() -> None:
    before = np.arange(1_000.0)
    counts = one_hot(before, edges(before, 10)).sum(axis=0)
    assert len(counts) == 10 and set(counts) == {100.0}
    assert len(edges(np.full(50, 7.0), 10)) == 1
    assert np.isfinite(stability_index(np.asarray([10.0, 0.0]), np.asarray([0.0, 10.0])))
