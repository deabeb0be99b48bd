"""Accuracy of an arm, and one arm against another on the same problems under the same seeds.

The win rate counts a problem that only A solves as won, one that both or neither solve as half: it is ½ where the arms
are equal, and ½ + half their difference in accuracy. `p` asks whether the *arms* differ, so it counts that another seed
gives other students; two or three seeds tell little of that, so what all arms of the regime tell is counted too
(noise.py). `p_students` is a permutation test over problems and asks only whether *these* students differ. Significance
is decided by the first, after Holm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from qstar_core.experiments.statistics.estimate import Estimate, Values, quantile, share_interval
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.noise import Noises
from qstar_core.experiments.statistics.resampling import Curve, common_seeds, resampled
from qstar_core.records import Record

LEVEL = 0.05


class Compared(Record):
    """A against B after the last round, on so many common seeds; A is ahead in `for_seeds` of them, behind in
    `against_seeds`."""

    a: str
    b: str
    regime: str
    win_rate: Estimate
    p: float
    p_students: float
    seeds: int
    for_seeds: int
    against_seeds: int

    @property
    def ahead(self) -> bool:
        return self.win_rate.value > 0.5


def accuracy(line: Line, place: int = -1) -> Estimate:
    """After the round at this place of the line."""
    drawn = resampled([line], lambda curves: curves[0].accuracy_B_R[:, place])
    variance, freedom = drawn.spread()
    low, high = share_interval(drawn.value, variance, freedom, drawn.problems)
    return Estimate(value=drawn.value, low=low, high=high, seeds=drawn.counted, problems=drawn.problems)


def compare(a: Line, b: Line, noise: Noises | None = None) -> Compared:
    """`noise`: of the arms beside them."""
    drawn = resampled([a, b], _win_rate)
    variance, freedom = drawn.spread(None if noise is None else noise.pair(a, b))
    away = quantile(freedom) * float(np.sqrt(variance))
    seeds = common_seeds([a, b])
    gain_S_N = a.of(seeds)[0][:, -1] - b.of(seeds)[0][:, -1]
    each_S = gain_S_N.mean(1)
    return Compared(
        a=a.arm, b=b.arm, regime=a.regime,
        win_rate=Estimate(value=drawn.value, low=max(0.0, drawn.value - away), high=min(1.0, drawn.value + away),
                          seeds=drawn.counted if noise is None else drawn.seeds, problems=drawn.problems),
        p=_two_sided(drawn.value - 0.5, variance, freedom, drawn.problems), p_students=permuted(gain_S_N.sum(0)),
        seeds=len(seeds), for_seeds=int((each_S > 0).sum()), against_seeds=int((each_S < 0).sum()))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted for as many questions as there are, in their order."""
    adjusted, worst = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        worst = max(worst, min(1.0, p[place] * (len(p) - rank)))
        adjusted[place] = worst
    return tuple(adjusted)


def ranked(lines: Sequence[Line]) -> tuple[tuple[Line, Estimate], ...]:
    """The best first, by accuracy after the last round; ties by name."""
    return tuple(sorted(((line, accuracy(line)) for line in lines),
                        key=lambda one: (-one[1].value, one[0].arm, one[0].axes)))


def _win_rate(curves: Sequence[Curve]) -> Values:
    a, b = curves
    return np.asarray(0.5 + (a.accuracy_B_R[:, -1] - b.accuracy_B_R[:, -1]) / 2)


def _two_sided(away: float, variance: float, freedom: float, problems: int) -> float:
    if abs(away) < 1e-12:
        return 1.0
    if variance == 0:
        return float(2.0 ** (1 - problems))
    return float(2 * stats.t.sf(abs(away) / np.sqrt(variance), freedom))


def permuted(gain_N: Values) -> float:
    """Two-sided and exact: every way to give the arms of a problem the other's name, counted by adding one problem
    after the other to the distribution of the sum. `gain_N` are whole numbers, the seeds of a problem together."""
    chance = np.ones(1)
    for gain in np.abs(gain_N[gain_N != 0]).astype(int):
        apart = np.zeros(2 * gain)
        chance = (np.concatenate([chance, apart]) + np.concatenate([apart, chance])) / 2
    middle, away = len(chance) // 2, int(abs(gain_N.sum()))
    return float(min(1.0, 2 * chance[middle + away:].sum())) if away else 1.0
