"""When a loop ends, as a law over what its rounds were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.loop.ending import ending
from qstar_core.loop.records import Round
from qstar_core.loop_settings import LoopSettings
from tests.loop.made import round_of

outcomes = st.lists(st.booleans(), max_size=8)


def rounds_of(promoted: list[bool]) -> list[Round]:
    return [round_of(number, promoted=yes) for number, yes in enumerate(promoted, 1)]


@given(outcomes, st.integers(1, 8), st.integers(1, 8))
def test_it_goes_on_until_a_bound_is_met_and_stays_ended(promoted: list[bool], most: int, patience: int) -> None:
    """Replayed from its beginning: every round was begun with a reason to, and where it ended there was one."""
    wanted = LoopSettings(rounds=most, patience=patience)
    rounds = rounds_of(promoted)
    begun = next((count for count in range(len(rounds) + 1) if ending(rounds[:count], wanted)), None)
    idle, expected = 0, None
    for count in range(len(rounds) + 1):
        if (count and (idle := 0 if promoted[count - 1] else idle + 1) >= patience) or count >= most:
            expected = count
            break
    assert begun == expected


def test_the_reason_names_the_setting() -> None:
    assert ending([], LoopSettings()) is None
    kept = rounds_of([False, False])
    assert "loop.patience" in (ending(kept, LoopSettings(rounds=2, patience=2)) or "")
    assert "loop.rounds" in (ending(rounds_of([True]), LoopSettings(rounds=1)) or "")


@pytest.mark.parametrize(("name", "under", "over"), [("max_tokens", 201, 200), ("max_hours", 21 / 3600, 20 / 3600)])
def test_a_spent_budget_lets_no_round_begin(name: str, under: float, over: float) -> None:
    """Two rounds of 100 tokens and 10 seconds."""
    rounds = rounds_of([True, True])
    assert ending(rounds, LoopSettings(**{name: under})) is None
    assert name in (ending(rounds, LoopSettings(**{name: over})) or "")
