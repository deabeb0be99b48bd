"""A number with its 95 % interval, and what the interval counts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from qstar_core.errors import DataError
from qstar_core.records import Record
from qstar_core.report.text import number

Values = npt.NDArray[np.float64]

CONFIDENCE = 0.95
_TAIL = (1 + CONFIDENCE) / 2


class Estimate(Record):
    """`low` and `high` are None where one seed alone cannot tell. `seeds` and `problems` are how many of each the
    interval counts; 0 is a source that it does not count."""

    value: float
    low: float | None
    high: float | None
    seeds: int
    problems: int

    @property
    def above(self) -> float:
        """The lower end, or −∞ where there is no interval: nothing is shown to lie above anything then."""
        return -math.inf if self.low is None else self.low

    @property
    def below(self) -> float:
        return math.inf if self.high is None else self.high

    def told(self) -> str:
        """The value with its interval."""
        if self.low is None:
            return number(self.value)
        if self.high is None:
            return f"{number(self.value)} ({number(self.low)} or more)"
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


def chance(p: float) -> str:
    """A p value; none is 0."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def quantile(freedom: float) -> float:
    """Student's t for the interval."""
    return float(stats.t.ppf(_TAIL, freedom))


def over_seeds(values_S: Values) -> Estimate:
    """The mean of one value a seed with Student's t. It counts the seeds alone."""
    if not len(values_S) or not np.isfinite(values_S).all():
        raise DataError("a measure over seeds holds a value that is no number", "run those cells again")
    seeds = len(values_S)
    value = float(values_S.mean())
    if seeds < 2:
        return Estimate(value=value, low=None, high=None, seeds=0, problems=0)
    away = quantile(seeds - 1) * float(stats.sem(values_S))
    return Estimate(value=value, low=value - away, high=value + away, seeds=seeds, problems=0)


def share_interval(share: float, variance: float, freedom: float, problems: int) -> tuple[float, float]:
    """Wilson's interval for a share whose variance is known otherwise than by counting: as of so many independent
    problems as would vary as much, never more than there are where nothing varied."""
    alike = share * (1 - share) / variance if variance > 0 and 0 < share < 1 else float(problems)
    t2 = quantile(freedom) ** 2
    centre = (share + t2 / (2 * alike)) / (1 + t2 / alike)
    away = math.sqrt(t2) / (1 + t2 / alike) * math.sqrt(share * (1 - share) / alike + t2 / (4 * alike * alike))
    return max(0.0, min(share, centre - away)), min(1.0, max(share, centre + away))
