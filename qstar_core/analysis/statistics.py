"""Statistics of diagnostics, and how sure they are.

Only finite values enter; how many were missing or not finite stands beside every figure. `std` is the sample standard
deviation (n − 1). Intervals are 95 % percentile bootstrap intervals with a fixed seed: the same file gives the same
numbers. A comparison is the mean of the later file minus the mean of the first, resampled independently.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np

from qstar_core.analysis.load import COLUMNS, Diagnostics, Values
from qstar_core.records import Record

SEED = 20_260_101
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ALPHA_RANGE = (0.2, 0.8)
ESS_RANGE = (0.8, 1.2)
_DRAWS = 20_000_000


class Interval(Record):
    low: float
    high: float


class ColumnStatistics(Record):
    """`n` values were finite. All figures are None where n is 0; `std` and `interval` also where n is 1."""

    column: str
    n: int
    missing: int
    not_finite: int
    mean: float | None
    std: float | None
    interval: Interval | None
    minimum: float | None
    quantiles: dict[str, float] | None
    maximum: float | None


class Share(Record):
    """The share of `n` samples whose `column` lies in [low, high], ends included."""

    column: str
    low: float
    high: float
    n: int
    share: float | None


class KlGap(Record):
    """KL(q‖π_θ) − KL(q‖π_t) over samples that have both; 0 where α is solved for KL symmetry."""

    n: int
    mean: float
    mean_absolute: float
    interval: Interval | None


class FileStatistics(Record):
    label: str
    path: str
    rows: int
    outcomes: dict[str, int]
    columns: tuple[ColumnStatistics, ...]
    shares: tuple[Share, ...]
    kl_gap: KlGap | None


class Comparison(Record):
    """The mean of `column` in `other` minus that in `base`."""

    base: str
    other: str
    column: str
    difference: float
    interval: Interval | None


def file_statistics(data: Diagnostics) -> FileStatistics:
    ranges = (("alpha_mean", ALPHA_RANGE), ("ess_ratio_mean", ESS_RANGE), ("divergent_ess_ratio_mean", ESS_RANGE))
    return FileStatistics(
        label=data.label, path=data.path, rows=data.rows, outcomes=data.outcomes,
        columns=tuple(column_statistics(data, name) for name in data.columns),
        shares=tuple(_share(data, name, limits) for name, limits in ranges if name in data.columns),
        kl_gap=_kl_gap(data),
    )


def column_statistics(data: Diagnostics, name: str) -> ColumnStatistics:
    values, missing = data.finite(name), data.missing[name]
    n = len(values)
    counts = {"column": name, "n": n, "missing": missing, "not_finite": data.rows - missing - n}
    if n == 0:
        return ColumnStatistics(**counts, mean=None, std=None, interval=None, minimum=None, quantiles=None,
                                maximum=None)
    quantiles = np.quantile(values, QUANTILES)
    return ColumnStatistics(
        **counts, mean=float(np.mean(values)), std=float(np.std(values, ddof=1)) if n > 1 else None,
        interval=_interval(_resampled_means(values, name)), minimum=float(np.min(values)),
        quantiles={f"{100 * q:g} %": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        maximum=float(np.max(values)),
    )


def comparisons(sources: tuple[Diagnostics, ...]) -> tuple[Comparison, ...]:
    """Every later source against the first, for the columns both have."""
    base = sources[0]
    return tuple(
        _comparison(base, other, name)
        for other in sources[1:] for name in COLUMNS if len(base.finite(name)) and len(other.finite(name))
    )


def _comparison(base: Diagnostics, other: Diagnostics, name: str) -> Comparison:
    first, second = base.finite(name), other.finite(name)
    # Two streams of random numbers: one stream would make the resamples of equal files equal, and the interval empty.
    means, other_means = _resampled_means(first, f"{name} base"), _resampled_means(second, f"{name} other")
    pairs = min(len(means), len(other_means))
    return Comparison(base=base.label, other=other.label, column=name,
                      difference=float(np.mean(second) - np.mean(first)),
                      interval=_interval(other_means[:pairs] - means[:pairs]))


def _share(data: Diagnostics, name: str, limits: tuple[float, float]) -> Share:
    values = data.finite(name)
    inside = float(np.mean((values >= limits[0]) & (values <= limits[1]))) if len(values) else None
    return Share(column=name, low=limits[0], high=limits[1], n=len(values), share=inside)


def _kl_gap(data: Diagnostics) -> KlGap | None:
    if "kl_theta_mean" not in data.columns or "kl_t_mean" not in data.columns:
        return None
    theta, teacher = data.columns["kl_theta_mean"], data.columns["kl_t_mean"]
    both = np.isfinite(theta) & np.isfinite(teacher)
    gap = theta[both] - teacher[both]
    if not len(gap):
        return None
    return KlGap(n=len(gap), mean=float(np.mean(gap)), mean_absolute=float(np.mean(np.abs(gap))),
                 interval=_interval(_resampled_means(gap, "kl gap")))


def _resampled_means(values: Values, stream: str) -> Values:
    """Bootstrap means: 2,000, fewer (never below 200) where the file is large, so that the work stays bounded.
    Empty for a single value, whose spread cannot be known."""
    n = len(values)
    if n < 2:
        return np.empty(0)
    rng = np.random.default_rng([SEED, zlib.crc32(stream.encode())])
    resamples = min(2_000, max(200, _DRAWS // n))
    at_once = max(1, 1_000_000 // n)
    edges = [*range(0, resamples, at_once), resamples]
    return np.concatenate([
        values[rng.integers(0, n, (end - start, n))].mean(axis=1) for start, end in pairwise(edges)
    ])


def _interval(means: Values) -> Interval | None:
    if not len(means):
        return None
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(low=float(low), high=float(high))
