"""Pairs: never two that say the same, bounded, reproducible; balancing leaves neither side longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import PairSettings
from qstar_core.selection.draws import Draw
from qstar_core.selection.lengths import Balance, LengthGap
from qstar_core.selection.pairs import Pair, pairs_of
from tests.selection.drawing import draw_of, draws

METHODS = ("verified", "score", "likelihood", "teacher_student")


@given(draws(), st.sampled_from(METHODS), st.integers(1, 5), st.integers(0, 3), st.randoms())
def test_pairs_are_bounded_unequal_and_reproducible(found: list[Draw], method: str, bound: int, seed: int,
                                                    random: object) -> None:
    settings = PairSettings(method=method, per_prompt=bound, seed=seed)
    pairs = pairs_of(found, settings)
    assert len(pairs) <= bound
    assert len({(pair.chosen.sample_id, pair.rejected.sample_id) for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.chosen.kept and pair.chosen.words and pair.rejected.words
        assert pair.chosen.words != pair.rejected.words
        if method == "verified":
            assert pair.chosen.verified is True and pair.rejected.verified is False
        if method == "teacher_student":
            assert (pair.chosen.alpha, pair.rejected.alpha) == (1.0, 0.0)
        if method == "score":
            assert pair.chosen.score > pair.rejected.score  # type: ignore[operator]
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pairs_of(shuffled, settings) == pairs


@given(draws(), st.integers(1, 60))
def test_every_verified_combination_comes_if_there_is_room(found: list[Draw], bound: int) -> None:
    good = [d for d in found if d.kept and d.verified]
    bad = [d for d in found if d.verified is False and d.words]
    assert len(pairs_of(found, PairSettings(per_prompt=bound))) == min(bound, len(good) * len(bad))


def test_a_margin_leaves_out_what_is_nearly_as_good() -> None:
    found = [draw_of(0, "one", score=0.9), draw_of(1, "two", score=0.7), draw_of(2, "three", score=0.2)]
    wide, narrow = (pairs_of(found, PairSettings(method="score", per_prompt=9, margin=margin)) for margin in (0.5, 0.8))
    assert [(pair.chosen.position, pair.rejected.position) for pair in wide] == [(0, 2)]
    assert narrow == []


def test_another_seed_gives_another_pair() -> None:
    found = [draw_of(0, "answer 12"), *(draw_of(1 + i, f"word{i} answer 13") for i in range(20))]
    chosen = {pairs_of(found, PairSettings(seed=seed))[0].rejected.sample_id for seed in range(12)}
    assert len(chosen) > 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=30), st.integers(0, 3))
def test_after_balancing_neither_side_is_longer(lengths: list[tuple[int, int]], seed: int) -> None:
    pairs = [Pair(draw_of(2 * i, "x" * a), draw_of(2 * i + 1, "y" * b)) for i, (a, b) in enumerate(lengths)]
    balance = Balance(pairs, seed)
    gap = LengthGap()
    for pair in pairs:
        if balance.stays(pair):
            gap.add(pair.gap)
    longer, shorter = (sum(sign * (a - b) > 0 for a, b in lengths) for sign in (1, -1))
    assert gap.chosen_longer == gap.rejected_longer == min(longer, shorter)
    assert gap.pairs == len(lengths) - abs(longer - shorter)


def test_the_length_gap_is_told_in_figures() -> None:
    gap = LengthGap()
    assert gap.told == "no pairs"
    for difference in (3, 3, -1, 0):
        gap.add(difference)
    assert gap.told == "the chosen text is longer by 1.2 characters on average, and longer in 50% of 4 pairs"


@pytest.mark.parametrize("method", METHODS)
def test_no_draws_no_pairs(method: str) -> None:
    assert pairs_of([], PairSettings(method=method)) == []
