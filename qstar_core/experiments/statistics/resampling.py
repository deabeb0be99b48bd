"""How sure a statistic of learning curves is, counting seeds and problems both.

Seeds and problems are drawn anew with replacement, independently of each other and the same for every arm, so that arms
stay paired (Owen's pigeonhole bootstrap, with n − 1 draws out of n, whose variance is unbiased). Problems are drawn as
positions across all seeds: right where the seeds share their problems, and where each has its own.
Drawing seeds alone and problems alone tells the three parts of the variance; their sum counts the noise that belongs to
a problem under a seed once, where the joint bootstrap counts it three times. The interval is Student's t with
Satterthwaite's degrees of freedom, since three seeds say little about how seeds vary. The random numbers have a fixed
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from qstar_core.errors import DataError
from qstar_core.experiments.statistics.estimate import Values
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.noise import Noise

RESAMPLES = 1_000
_SEED = 20_261_120


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy and samples kept after each round, [B, R]: one row a resample."""

    accuracy_B_R: Values
    kept_B_R: Values


Statistic = Callable[[Sequence[Curve]], Values]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The statistic itself, and of each resample: of seeds alone (empty with one seed), of problems alone, of both."""

    value: float
    seeds_B: Values
    problems_B: Values
    both_B: Values
    seeds: int
    problems: int

    @property
    def counted(self) -> int:
        """Seeds that its own resamples count: one alone tells nothing."""
        return self.seeds if self.seeds > 1 else 0

    def spread(self, noise: Noise | None = None) -> tuple[float, float]:
        """The variance and its degrees of freedom, of the resamples in which the statistic is a number. Seeds count as
        much as `noise` says, where more is known of them than they tell themselves."""
        problems, many = _variance(self.problems_B), self.problems - 1
        if self.seeds < 2 and noise is None:  # one student tells nothing of how students differ
            return problems, float(many)
        seeds, few = _variance(self.seeds_B), float(self.seeds - 1)
        shared = max(0.0, _variance(self.both_B) - seeds - problems)
        if noise is not None:
            seeds, few = noise.variance / self.seeds, noise.freedom
        total = max(seeds + problems - shared, seeds, problems)
        parts = seeds**2 / few + problems**2 / many + (shared**2 / (few * many) if shared else 0.0)
        return total, (total**2 / parts if parts > 0 else few)


def common_seeds(lines: Sequence[Line]) -> tuple[int, ...]:
    """The seeds that all lines have: on these they are compared."""
    seeds = tuple(seed for seed in lines[0].seeds if all(seed in line.seeds for line in lines))
    if not seeds:
        raise DataError(f"the arms {', '.join(line.arm for line in lines)} share no seed in regime {lines[0].regime}",
                        "give them at least one seed in common")
    if len({line.right_S_R_N.shape[2] for line in lines}) > 1:
        raise DataError(f"the arms {', '.join(line.arm for line in lines)} have different numbers of problems in "
                        f"regime {lines[0].regime}", "judge all arms of a regime on the same problems")
    return seeds


def resampled(lines: Sequence[Line], statistic: Statistic) -> Drawn:
    """`statistic` takes one curve a line, in order, and gives one value a row."""
    seeds = common_seeds(lines)
    held = [line.of(seeds) for line in lines]
    S, N = len(seeds), held[0][0].shape[2]
    seed_B_S, problem_B_N = _weights(S, "seeds"), _weights(N, "problems")
    even_1_S, even_1_N = np.full((1, S), 1 / S), np.full((1, N), 1 / N)

    def of(seed_B_S: Values, problem_B_N: Values) -> Values:
        return statistic([_curve(right_S_R_N, kept_S_R, seed_B_S, problem_B_N) for right_S_R_N, kept_S_R in held])

    return Drawn(
        value=float(of(even_1_S, even_1_N)[0]),
        seeds_B=of(seed_B_S, np.repeat(even_1_N, RESAMPLES, 0)) if S > 1 else np.empty(0),
        problems_B=of(np.repeat(even_1_S, RESAMPLES, 0), problem_B_N),
        both_B=of(seed_B_S, problem_B_N) if S > 1 else np.empty(0), seeds=S, problems=N)


@cache
def _weights(count: int, of: str) -> Values:
    """[B, count]: how often each is drawn in count − 1 draws, as shares. One alone is always itself."""
    if count == 1:
        return np.ones((RESAMPLES, 1))
    rng = np.random.default_rng([_SEED, *of.encode()])
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=RESAMPLES) / (count - 1)


def _curve(right_S_R_N: Values, kept_S_R: Values, seed_B_S: Values, problem_B_N: Values) -> Curve:
    if (problem_B_N == problem_B_N[0]).all():
        share_S_R = right_S_R_N @ problem_B_N[0]
        return Curve(seed_B_S @ share_S_R, seed_B_S @ kept_S_R)
    share_S_R_B = right_S_R_N @ problem_B_N.T
    return Curve(np.einsum("bs,srb->br", seed_B_S, share_S_R_B), seed_B_S @ kept_S_R)


def _variance(values_B: Values) -> float:
    numbers = values_B[np.isfinite(values_B)]
    return float(numbers.var()) if len(numbers) > 1 else 0.0
