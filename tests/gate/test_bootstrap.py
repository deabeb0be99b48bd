"""Intervals hold the truth about as often as they say, because whole prompts are drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.gate.bootstrap import estimate, per_prompt, ratio

PROMPTS, DRAWS, TRUTH = 80, 5, 2.0


def clustered(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around TRUTH whose prompts differ three times as much as their draws; weights of 1 to 9 tokens."""
    rng = np.random.default_rng(seed)
    prompt_N = np.repeat(np.arange(PROMPTS), DRAWS)
    value_N = TRUTH + rng.normal(0, 0.9, PROMPTS)[prompt_N] + rng.normal(0, 0.3, PROMPTS * DRAWS)
    weight_N = rng.integers(1, 10, PROMPTS * DRAWS).astype(np.float64)
    return np.stack([value_N * weight_N, weight_N], axis=1), prompt_N


def covered(rounds: int, by_prompt: bool) -> float:
    held = 0
    for seed in range(rounds):
        parts, prompt_N = clustered(seed)
        _, interval = estimate(parts, prompt_N if by_prompt else np.arange(len(parts)), ratio)
        assert interval is not None
        held += interval[0] <= TRUTH <= interval[1]
    return held / rounds


def test_the_interval_holds_the_truth_at_about_its_level_and_only_if_prompts_are_drawn() -> None:
    assert 0.87 <= covered(100, by_prompt=True) <= 1.0
    assert covered(100, by_prompt=False) < 0.8


@pytest.mark.slow
def test_the_interval_holds_the_truth_at_its_level() -> None:
    assert 0.925 <= covered(1_000, by_prompt=True) <= 0.97
    assert covered(1_000, by_prompt=False) < 0.75


def test_the_same_rows_give_the_same_numbers() -> None:
    parts, prompt_N = clustered(1)
    assert estimate(parts, prompt_N, ratio) == estimate(parts.copy(), prompt_N.copy(), ratio)


def test_the_width_follows_the_number_of_prompts_and_not_of_rows() -> None:
    parts, prompt_N = clustered(1)
    _, once = estimate(parts, prompt_N, ratio)
    _, tenfold = estimate(np.tile(parts, (10, 1)), np.tile(prompt_N, 10), ratio)
    assert once is not None and tenfold is not None
    assert tenfold == pytest.approx(once)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-5, 5), st.floats(0.5, 9)), min_size=1, max_size=30))
def test_the_estimate_is_the_share_and_lies_in_its_interval(rows: list[tuple[int, float, float]]) -> None:
    parts = np.asarray([[value * weight, weight] for _, value, weight in rows])
    prompt_N = np.asarray([prompt for prompt, _, _ in rows])
    value, interval = estimate(parts, prompt_N, ratio)
    assert value == pytest.approx(parts[:, 0].sum() / parts[:, 1].sum())
    assert (interval is None) == (len(set(prompt_N)) == 1)
    assert per_prompt(parts, prompt_N).sum(axis=0) == pytest.approx(parts.sum(axis=0))
    if interval is not None:
        assert interval[0] <= interval[1]


def test_nothing_to_weigh_is_no_number() -> None:
    assert estimate(np.empty((0, 2)), np.empty(0, dtype=np.int64), ratio) == (None, None)
    assert estimate(np.zeros((3, 2)), np.arange(3), ratio) == (None, None)
