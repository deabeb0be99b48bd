"""Replay: no more than its share, nothing twice, nothing that is there already, in whatever order the rows come."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qstar_core.selection.replay import chosen_rows, identity, replay_count


def row(prompt: int, text: str) -> dict[str, Any]:
    return {"prompt_id": f"p{prompt}", "messages": [{"role": "user", "content": "?"},
                                                    {"role": "assistant", "content": text}]}


_rows = st.lists(st.builds(row, st.integers(0, 4), st.sampled_from(["a", "b", "a  b", "a b", ""])), max_size=20)


@given(st.integers(0, 100_000), st.floats(0, 0.99))
def test_the_count_is_the_share_of_the_whole_rounded_down(new: int, share: float) -> None:
    count = replay_count(new, share)
    assert count <= share * (new + count) + 1e-6 and count + 1 > share * (new + count + 1) - 1e-6


@given(_rows, _rows, st.integers(0, 10), st.integers(0, 2), st.randoms())
def test_rows_come_once_and_only_where_they_are_new(old: list[dict[str, Any]], new: list[dict[str, Any]], count: int,
                                                    seed: int, random: Any) -> None:
    present = {identity(row) for row in new}
    chosen = [identity(row) for row in chosen_rows(old, present, count, seed, "r2")]
    possible = {identity(row) for row in old} - present
    assert len(chosen) == len(set(chosen)) == min(count, len(possible)) and set(chosen) <= possible
    shuffled = list(old)
    random.shuffle(shuffled)
    assert [identity(row) for row in chosen_rows(shuffled, present, count, seed, "r2")] == chosen


def test_another_round_takes_other_rows() -> None:
    old = [row(i, "text") for i in range(50)]
    first, second = ([r["prompt_id"] for r in chosen_rows(old, set(), 5, 0, name)] for name in ("r1", "r2"))
    assert first != second
