"""A number with the interval that holds the true one with 95 % confidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from qstar_core.errors import DataError
from qstar_core.records import Record

Values = npt.NDArray[np.float64]

_RESAMPLES = 2_000
_SEED = 0


class Interval(Record):
    value: float
    low: float
    high: float

    def told(self, digits: int = 3) -> str:
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def mean_of(values: Values) -> Interval:
    """Of many values of any shape of distribution: a bootstrap."""
    _enough(values)
    value = float(values.mean())
    if np.ptp(values) == 0:
        return Interval(value=value, low=value, high=value)
    drawn = np.random.default_rng(_SEED).choice(values, (_RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(-1), (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def typical_of(values: Values) -> Interval:
    """Of few repetitions of one measurement: the mean with Student's t."""
    _enough(values)
    value, error = float(values.mean()), float(stats.sem(values))
    low, high = stats.t.interval(0.95, len(values) - 1, value, error) if error > 0 else (value, value)
    return Interval(value=value, low=float(low), high=float(high))


def slope_of(x: Values, y: Values) -> Interval:
    """Of the line through 0."""
    _enough(x)
    if np.count_nonzero(x) < len(x) / 2:
        raise DataError("a slope has no value, because most of its pairs lie at 0", "take pairs that differ more")
    drawn = np.random.default_rng(_SEED).integers(len(x), size=(_RESAMPLES, len(x)))
    slopes = (x[drawn] * y[drawn]).sum(-1) / (x[drawn] ** 2).sum(-1)
    low, high = np.quantile(slopes, (0.025, 0.975))
    return Interval(value=float(x @ y / (x @ x)), low=float(low), high=float(high))


def correlation_of(x: Values, y: Values) -> Interval:
    """Pearson's, by Fisher's transform."""
    _enough(x)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise DataError("a correlation has no value, because one of its sides never changes", "take other pairs")
    found = stats.pearsonr(x, y)
    interval = found.confidence_interval(0.95)
    return Interval(value=float(found.statistic), low=float(interval.low), high=float(interval.high))


def _enough(values: Values) -> None:
    if len(values) < 3:
        raise DataError(f"{len(values)} values have no interval", "repeat the measurement at least three times")
