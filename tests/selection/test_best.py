"""Best of n: only kept draws, never more than asked for, the same ones in whatever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.answers import final_answer
from qstar_core.config import BestOfSettings
from qstar_core.errors import DataError
from qstar_core.selection.best import choose
from qstar_core.selection.draws import Draw
from tests.selection.drawing import draw_of, draws

METHODS = ("verification", "reward", "likelihood", "teacher_likelihood", "majority")


@given(draws(measured=True), st.sampled_from(METHODS), st.integers(1, 4), st.randoms())
def test_the_choice_is_made_of_kept_draws_and_does_not_hang_on_their_order(found: list[Draw], method: str, keep: int,
                                                                           random: object) -> None:
    settings = BestOfSettings(method=method, keep=keep)
    chosen = choose(found, settings)
    kept = [draw for draw in found if draw.kept]
    assert len(chosen) == min(keep, len(kept)) == len({draw.sample_id for draw in chosen})
    assert all(draw in kept for draw in chosen)
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled, settings) == chosen


@given(draws(measured=True))
def test_the_best_is_best_by_its_method(found: list[Draw]) -> None:
    kept = [draw for draw in found if draw.kept]
    best = {method: choose(found, BestOfSettings(method=method)) for method in METHODS}
    if not kept:
        assert not any(best.values())
        return
    assert best["verification"][0].verified == any(draw.verified for draw in kept)
    assert best["reward"][0].score == max(draw.score for draw in kept)  # type: ignore[type-var]
    assert best["likelihood"][0].logq == max(draw.logq for draw in kept)  # type: ignore[type-var]
    assert best["teacher_likelihood"][0].logp_t == max(draw.logp_t for draw in kept)  # type: ignore[type-var]


def test_ties_go_to_the_likelier_and_then_to_the_earlier_draw() -> None:
    likely = [draw_of(0, "12", logq=-2.0), draw_of(1, "12", logq=-1.0), draw_of(2, "13", logq=-0.5)]
    assert [draw.position for draw in choose(likely, BestOfSettings(method="verification", keep=3))] == [1, 0, 2]
    alike = [draw_of(i, "12") for i in (2, 0, 1)]
    assert [draw.position for draw in choose(alike, BestOfSettings(method="verification", keep=3))] == [0, 1, 2]


def test_a_draw_that_a_filter_dropped_still_votes() -> None:
    found = [draw_of(0, "answer 13"), draw_of(1, "answer 12"), draw_of(2, "answer 12", kept=False)]
    assert final_answer(choose(found, BestOfSettings(method="majority"))[0].completion) == "12"
    assert choose(found[:2], BestOfSettings(method="majority"))[0].position == 0


def test_all_keeps_all() -> None:
    found = [draw_of(0, "12"), draw_of(1, "13"), draw_of(2, "14", kept=False)]
    assert choose(found, BestOfSettings()) == found[:2]


@pytest.mark.parametrize(("method", "fix"), [("reward", "score_column"), ("likelihood", "diagnostics"),
                                             ("teacher_likelihood", "diagnostics")])
def test_what_cannot_be_ranked_is_an_error_and_no_guess(method: str, fix: str) -> None:
    with pytest.raises(DataError, match=fix):
        choose([draw_of(0, "12"), draw_of(1, "13")], BestOfSettings(method=method))
    assert choose([draw_of(0, "12", kept=False)], BestOfSettings(method=method)) == []
