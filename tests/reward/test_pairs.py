"""Pairs that say nothing are dropped with a reason, and no prompt is on both sides of a split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.reward.pairs import EMPTY, NO_NUMBER, SAME, TWICE, split_by_prompt, usable
from tests.reward.models import pair


def test_what_cannot_be_learnt_from_is_dropped_with_its_reason() -> None:
    rows = [pair(), pair(), pair(rejected="answer  3 7 12 "), pair(rejected=" "), pair(chosen=""),
            pair(prompt="sort 1 2 3", margin=float("nan")), pair(prompt="sort 4 2 3", margin=2.0)]
    found = usable(rows, "rows")
    assert found.pairs == (rows[0], rows[-1])
    assert found.dropped == {TWICE: 1, SAME: 1, EMPTY: 2, NO_NUMBER: 1}


@pytest.mark.parametrize("rows", [[], [pair(rejected="")], [pair(rejected="answer 3 7 12")] * 3])
def test_a_set_of_one_class_is_an_error(rows: list[object]) -> None:
    with pytest.raises(DataError, match="no pair to learn from"):
        usable(rows, "rows")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=20, max_size=60), st.floats(0.1, 0.9))
def test_no_prompt_is_on_both_sides(rows: list[tuple[int, int]], share: float) -> None:
    pairs = [pair(prompt=f"sort {first} 1", rejected=f"answer {second}") for first, second in rows]
    try:
        split = split_by_prompt(pairs, share)
    except DataError:
        return
    assert not {one.prompt_id for one in split.train} & {one.prompt_id for one in split.held_out}
    assert len(split.train) + len(split.held_out) == len(pairs)


def test_a_share_that_leaves_one_side_empty_is_an_error() -> None:
    with pytest.raises(DataError, match=r"reward\.validation"):
        split_by_prompt([pair()], 0.01)
    assert split_by_prompt([pair()], 0.0).train == (pair(),)
