"""Held-out problems take turns: the same round always has the same ones, and the next round has others."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.evaluation.rotation import blocks, final, is_final, rotated
from qstar_core.records import Message, Prompt, Role

POOL = [Prompt.of((Message(role=Role.USER, content=f"question {i}"),), answer=str(i)) for i in range(120)]


def ids(prompts):
    return {prompt.id for prompt in prompts}


@settings(max_examples=15)
@given(size=st.integers(1, 120), count=st.integers(1, 60), start=st.integers(0, 10**6), line=st.text(max_size=5),
       seed=st.randoms())
def test_a_cycle_uses_every_block_once(size, count, start, line, seed):
    pool, cycle = POOL[:size], blocks(size, count)
    taken = [ids(rotated(pool, line, str(start + turn), count)) for turn in range(cycle)]
    assert sum(map(len, taken)) == len(set().union(*taken)), "no problem twice in a cycle"
    assert all(len(one) == min(count, size) for one in taken)
    assert ids(rotated(pool, line, str(start + cycle), count)) == taken[0]
    shuffled = list(pool)
    seed.shuffle(shuffled)
    assert rotated(shuffled, line, str(start), count) == rotated(pool, line, str(start), count)


def test_nights_count_up():
    nights = [(date(2026, 1, 30) + timedelta(days=i)).isoformat() for i in range(4)]
    taken = [ids(rotated(POOL, "a", night, 30)) for night in nights]
    assert len(set().union(*taken)) == 120


def test_lines_have_orders_of_their_own():
    assert ids(rotated(POOL, "a", "1", 30)) != ids(rotated(POOL, "b", "1", 30))


def test_any_other_name_has_a_block_too():
    assert rotated(POOL, "a", "try-7", 30) == rotated(POOL, "a", "try-7", 30)
    assert len({tuple(p.id for p in rotated(POOL, "a", f"try-{i}", 30)) for i in range(30)}) == 4


def test_the_final_problems_do_not_depend_on_what_else_there_is():
    held = [prompt for prompt in POOL if is_final(prompt, 0.3)]
    assert 15 < len(held) < 60
    assert ids(held) <= ids(prompt for prompt in POOL if is_final(prompt, 0.5))
    assert final(held, 10) == final(list(reversed(held)), 10)
    assert ids(final(held[5:], 10)) >= ids(final(held, 10)) & ids(held[5:])
