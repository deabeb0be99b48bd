"""How often a judge prefers the new student's greedy reply to the old one's. Ties count half.

Which reply comes first is drawn by the problem's id, so that a judge who likes the first does not favour a student.
Length-controlled: a logistic regression of the outcome on the difference in length, read where the lengths are equal;
judges like longer replies, and a student must not win by talking. Both intervals are bootstraps over problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qstar_core.errors import DataError
from qstar_core.evaluation.intervals import identity, measured, part
from qstar_core.evaluation.judging import Duel, Judge, Winner
from qstar_core.evaluation.score import Measure, SetScore
from qstar_core.gate.bootstrap import SEED, Values
from qstar_core.hints import draw
from qstar_core.records import Prompt

_WORTH = {Winner.FIRST: 1.0, Winner.TIE: 0.5, Winner.SECOND: 0.0}
_RESAMPLES = 1_000
_STEPS = 25
_PRIOR = 1 / 25  # a weak normal prior with standard deviation 5 on both coefficients: all wins must not be infinite


class WinRate(NamedTuple):
    plain: Measure
    length_controlled: Measure
    errors: int


def win_rate(old: SetScore, new: SetScore, prompts: Sequence[Prompt], judge: Judge, confidence: float) -> WinRate:
    """Of the new student, on the problems of one set that both have replies to."""
    if old.prompts != new.prompts:
        raise DataError(f"the scores of {new.name} are of different problems", "evaluate both students on one suite")
    known = {prompt.id: prompt for prompt in prompts}
    asked = [(known[name], ours, theirs) for name, ours, theirs in zip(new.prompts, new.replies, old.replies,
                                                                       strict=True)]
    swapped = [draw("order of replies", prompt.id, 2) == 1 for prompt, _, _ in asked]
    duels = [Duel(prompt, theirs, ours) if swap else Duel(prompt, ours, theirs)
             for (prompt, ours, theirs), swap in zip(asked, swapped, strict=True)]
    won: list[float] = []
    longer: list[float] = []
    found = judge.compare(duels)
    for (_, ours, theirs), swap, winner in zip(asked, swapped, found, strict=True):
        if winner is not Winner.ERROR:
            won.append(1 - _WORTH[winner] if swap else _WORTH[winner])
            longer.append(float(len(ours) - len(theirs)))
    name = f"{new.name}/win rate"
    if not won:
        raise DataError(f"the judge {judge.name} named no winner in {len(found)} comparisons", "ask another judge")
    plain = measured(name, tuple(part(value) for value in won), identity, confidence)
    return WinRate(plain, _controlled(name, np.asarray(won), np.asarray(longer), confidence), len(found) - len(won))


def _controlled(name: str, won_N: Values, longer_N: Values, confidence: float) -> Measure:
    n = len(won_N)
    spread = float(np.sqrt(np.mean(longer_N**2)))
    length_N = np.tanh(longer_N / spread) if spread > 0 else longer_N
    rng = np.random.default_rng(SEED)
    times_R_N = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64)
    value = float(at_equal_length(won_N, length_N, np.ones((1, n)))[0])
    low, high = np.quantile(at_equal_length(won_N, length_N, times_R_N), ((1 - confidence) / 2, (1 + confidence) / 2))
    return Measure(name=f"{name}, length-controlled", value=value, low=float(low), high=float(high), n=n,
                   method="bootstrap")


def at_equal_length(won_N: Values, length_N: Values, times_R_N: Values) -> Values:
    """[R]: the fitted chance of a win at no difference in length, for each weighting of the problems."""
    bias_R, slope_R = np.zeros(len(times_R_N)), np.zeros(len(times_R_N))
    for _ in range(_STEPS):
        chance_R_N = _sigmoid(bias_R[:, None] + slope_R[:, None] * length_N)
        miss_R_N = times_R_N * (won_N - chance_R_N)
        weight_R_N = times_R_N * chance_R_N * (1 - chance_R_N)
        up_bias, up_slope = miss_R_N.sum(1) - _PRIOR * bias_R, miss_R_N @ length_N - _PRIOR * slope_R
        a, b, c = weight_R_N.sum(1) + _PRIOR, weight_R_N @ length_N, weight_R_N @ length_N**2 + _PRIOR
        step_bias, step_slope = (c * up_bias - b * up_slope), (a * up_slope - b * up_bias)
        determinant = a * c - b * b
        bias_R = np.clip(bias_R + np.clip(step_bias / determinant, -2, 2), -30, 30)
        slope_R = np.clip(slope_R + np.clip(step_slope / determinant, -2, 2), -30, 30)
    return _sigmoid(bias_R)


def _sigmoid(value: Values) -> Values:
    return 0.5 * (1 + np.tanh(0.5 * value))
