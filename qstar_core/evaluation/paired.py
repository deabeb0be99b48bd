"""Two students on the same problems: is the new one better, and how much worse may it be?

`better` tests one-sided against chance: McNemar's exact test where every problem is right or wrong, else a paired
permutation test that flips the sign of each problem's difference. `difference` is new − old with an interval: for
shares Newcombe's score interval, which stays honest with few problems and with none that differ, else a bootstrap over
problems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qstar_core.errors import DataError
from qstar_core.evaluation.intervals import Transform, is_binary, wilson
from qstar_core.evaluation.score import Parts, SetScore
from qstar_core.gate.bootstrap import SEED, Values, estimate

_RESAMPLES = 9_999


@dataclass(frozen=True, slots=True)
class Pairs:
    """[N, 2] each: the parts of the problems that both students have a value on."""

    old_N_2: Values
    new_N_2: Values

    def __len__(self) -> int:
        return len(self.new_N_2)

    @property
    def binary(self) -> bool:
        return is_binary(self.old_N_2) and is_binary(self.new_N_2)


@dataclass(frozen=True, slots=True)
class Test:
    p: float
    statistic: str


@dataclass(frozen=True, slots=True)
class Difference:
    value: float
    low: float
    high: float


def paired(old: SetScore, new: SetScore, figure: str) -> Pairs:
    if old.prompts != new.prompts:
        raise DataError(f"the scores of {new.name} are of different problems", "evaluate both students on one suite")
    both = [(a, b) for a, b in zip(_of(old, figure), _of(new, figure), strict=True) if a[1] > 0 and b[1] > 0]
    if len(both) < 2:
        raise DataError(f"{new.name}/{figure} has a value of both students on {len(both)} problems",
                        "give the set more problems that it applies to")
    old_N_2, new_N_2 = (np.asarray(side, dtype=np.float64) for side in zip(*both, strict=True))
    if not (np.isfinite(old_N_2).all() and np.isfinite(new_N_2).all()):
        raise DataError(f"{new.name}/{figure} holds a value that is no number", "evaluate both students again")
    return Pairs(old_N_2, new_N_2)


def better(pairs: Pairs, higher: bool = True) -> Test:
    """How likely so much gain is where the students are equally good."""
    if pairs.binary:
        gain_N = pairs.new_N_2[:, 0] - pairs.old_N_2[:, 0]
        won, lost = int((gain_N > 0).sum()), int((gain_N < 0).sum())
        won, lost = (won, lost) if higher else (lost, won)
        return Test(mcnemar(won, lost), f"McNemar exact: {won} won, {lost} lost")
    gain_N = pairs.new_N_2[:, 0] / pairs.new_N_2[:, 1] - pairs.old_N_2[:, 0] / pairs.old_N_2[:, 1]
    gain_N = gain_N if higher else -gain_N
    return Test(sign_flip(gain_N), f"paired permutation: mean gain {gain_N.mean():.4g}")


def mcnemar(won: int, lost: int) -> float:
    """The chance of at least so many wins among the problems on which the students differ."""
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0


def sign_flip(gain_N: Values) -> float:
    """Exact where all flips can be counted, else by 9,999 of them with a fixed seed."""
    from scipy.stats import permutation_test

    if not gain_N.any():
        return 1.0
    found = permutation_test((gain_N, np.zeros_like(gain_N)), _mean_difference, permutation_type="samples",
                             vectorized=True, alternative="greater", n_resamples=_RESAMPLES, batch=1_000,
                             rng=np.random.default_rng(SEED))
    return float(found.pvalue)


def difference(pairs: Pairs, transform: Transform, confidence: float) -> Difference:
    if pairs.binary:
        return _newcombe(pairs, confidence)

    def combine(sums: Values) -> Values:
        return transform(sums[..., 0] / sums[..., 1]) - transform(sums[..., 2] / sums[..., 3])

    value, interval = estimate(np.concatenate([pairs.new_N_2, pairs.old_N_2], axis=1), np.arange(len(pairs)), combine,
                               confidence)
    if value is None or interval is None:
        raise DataError("a difference has no interval", "give the set more problems")
    return Difference(value, *interval)


def ratio(pairs: Pairs, confidence: float) -> Difference:
    """new / old instead of new − old."""

    def combine(sums: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (sums[..., 0] / sums[..., 1]) / (sums[..., 2] / sums[..., 3])

    value, interval = estimate(np.concatenate([pairs.new_N_2, pairs.old_N_2], axis=1), np.arange(len(pairs)), combine,
                               confidence)
    if value is None or interval is None or not math.isfinite(value):
        raise DataError("a ratio of the students has no value", "look at the old student's replies: are they empty?")
    return Difference(value, *interval)


def _newcombe(pairs: Pairs, confidence: float) -> Difference:
    """Newcombe (1998), method 10."""
    new_N, old_N = pairs.new_N_2[:, 0], pairs.old_N_2[:, 0]
    n = len(pairs)
    both, neither = int((new_N * old_N).sum()), int(((1 - new_N) * (1 - old_N)).sum())
    won, lost = int((new_N * (1 - old_N)).sum()), int((old_N * (1 - new_N)).sum())
    p_new, p_old = (both + won) / n, (both + lost) / n
    low_new, high_new = wilson(both + won, n, confidence)
    low_old, high_old = wilson(both + lost, n, confidence)
    phi = _phi(both, won, lost, neither)
    down = _joined(p_new - low_new, high_old - p_old, phi)
    up = _joined(high_new - p_new, p_old - low_old, phi)
    value = p_new - p_old
    return Difference(value, max(-1.0, value - down), min(1.0, value + up))


def _phi(both: int, won: int, lost: int, neither: int) -> float:
    """The correlation of the two students' answers, with the continuity correction where it is positive."""
    margins = math.sqrt(float(both + won) * (lost + neither) * (both + lost) * (won + neither))
    if margins == 0:
        return 0.0
    cross = float(both * neither - won * lost)
    if cross > 0:
        cross = max(cross - (both + won + lost + neither) / 2, 0.0)
    return cross / margins


def _joined(ours: float, theirs: float, phi: float) -> float:
    return math.sqrt(max(ours * ours - 2 * phi * ours * theirs + theirs * theirs, 0.0))


def _of(score: SetScore, figure: str) -> Parts:
    if figure not in score.outcomes:
        raise DataError(f"the set {score.name} has no measure {figure}", "add it to evaluation.measures")
    return score.outcomes[figure]


def _mean_difference(new: Values, old: Values, axis: int) -> Values:
    found: Values = new.mean(axis=axis) - old.mean(axis=axis)
    return found
