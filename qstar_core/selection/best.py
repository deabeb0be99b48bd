"""Best of n: which of the kept draws of one prompt stay.

Ties are broken by log q per token, then by the order of the draws, so a choice never depends on chance. A method that
has nothing to go by (no score, no log-probabilities) is an error, not a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qstar_core.answers import final_answer, same_answer
from qstar_core.config import BestOfSettings
from qstar_core.errors import DataError
from qstar_core.selection.draws import Draw

STAGE = "best of n"
REASON = "not the best of n"


def choose(draws: Sequence[Draw], settings: BestOfSettings) -> list[Draw]:
    """The kept draws that stay, best first. `draws` are all of one prompt: what a filter dropped still has a vote."""
    kept = [draw for draw in draws if draw.kept]
    if settings.method == "all" or not kept:
        return kept
    rank = _votes(kept, draws) if settings.method == "majority" else _RANKS[settings.method](kept, settings)
    ranked = sorted(range(len(kept)), key=lambda i: (-rank[i], -_or_least(kept[i].logq), kept[i].position))
    return [kept[i] for i in ranked[: settings.keep]]


def _votes(kept: Sequence[Draw], draws: Sequence[Draw]) -> list[float]:
    """How many draws end in the same answer; a draw without an answer has no votes."""
    answers = [final_answer(draw.completion) for draw in draws]
    own = [final_answer(draw.completion) for draw in kept]
    return [0.0 if mine is None else float(sum(said is not None and same_answer(said, mine) for said in answers))
            for mine in own]


def _verification(kept: Sequence[Draw], settings: BestOfSettings) -> list[float]:
    return [float(draw.verified is True) for draw in kept]


def _reward(kept: Sequence[Draw], settings: BestOfSettings) -> list[float]:
    return _given([draw.score for draw in kept], f"column {settings.score_column!r} holds no reward",
                  "list the filter that scores, or name its column in best_of.score_column")


def _likelihood(kept: Sequence[Draw], settings: BestOfSettings) -> list[float]:
    return _given([draw.logq for draw in kept], "log q was not recorded", "set engine.diagnostics to true")


def _teacher_likelihood(kept: Sequence[Draw], settings: BestOfSettings) -> list[float]:
    if all(draw.logq is None for draw in kept):
        raise DataError("best_of: log π_t was not recorded", "set engine.diagnostics to true")
    return [_or_least(draw.logp_t) for draw in kept]  # without a value the teacher gives it probability 0


def _given(values: list[float | None], problem: str, fix: str) -> list[float]:
    if any(value is None for value in values):
        raise DataError(f"best_of: {problem}", fix)
    return [_or_least(value) for value in values]


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


_RANKS: dict[str, Callable[[Sequence[Draw], BestOfSettings], list[float]]] = {
    "verification": _verification, "reward": _reward, "likelihood": _likelihood,
    "teacher_likelihood": _teacher_likelihood,
}
