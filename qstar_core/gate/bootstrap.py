"""How sure a statistic of a sample of prompts is.

Draws of one prompt resemble each other, so whole prompts are drawn anew, with all of their rows. A statistic is a
function of sums over rows. The interval holds the middle of the resampled statistics, 95 % of them unless asked
otherwise, moved so that their mean is the estimate (a distance grows by resampling alone). The seed is fixed: the same
rows give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Combine = Callable[[Values], Values]

SEED = 20_260_102
_RESAMPLES = 1_000
_FEWEST = 200
_DRAWS = 30_000_000  # of prompts, all resamples together: bounds the work on a large version
_AT_ONCE = 1_000_000


def estimate(parts_N_K: Values, prompt_N: Codes, combine: Combine,
             confidence: float = 0.95) -> tuple[float | None, tuple[float, float] | None]:
    """The statistic and its interval. `combine` takes sums [..., K] to statistics [...], NaN where there is none.
    No interval where there are fewer than two prompts."""
    sums_C_K = per_prompt(parts_N_K, prompt_N)
    point = float(combine(sums_C_K.sum(axis=0)))
    if np.isnan(point):
        return None, None
    if len(sums_C_K) < 2:
        return point, None
    statistics = combine(_resampled(sums_C_K))
    statistics = statistics[np.isfinite(statistics)]
    if not len(statistics):
        return point, None
    low, high = np.quantile(statistics, ((1 - confidence) / 2, (1 + confidence) / 2)) - (statistics.mean() - point)
    return point, (float(low), float(high))


def per_prompt(parts_N_K: Values, prompt_N: Codes) -> Values:
    """Sums over the rows of each prompt that has any."""
    _, codes = np.unique(prompt_N, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    return np.stack([np.bincount(codes, weights=column, minlength=count) for column in parts_N_K.T], axis=1)


def _resampled(sums_C_K: Values) -> Values:
    """[resamples, K]"""
    rng = np.random.default_rng(SEED)
    prompts = len(sums_C_K)
    resamples = min(_RESAMPLES, max(_FEWEST, _DRAWS // prompts))
    at_once = max(1, _AT_ONCE // prompts)
    totals = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = rng.integers(0, prompts, (count, prompts)) + prompts * np.arange(count)[:, None]
        times_R_C = np.bincount(drawn.ravel(), minlength=count * prompts).reshape(count, prompts)
        totals.append(times_R_C @ sums_C_K)
    return np.concatenate(totals)


def ratio(sums: Values) -> Values:
    """First sum over second; NaN where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)
