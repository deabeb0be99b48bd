"""How far a distribution has moved from the one before: both are counts over the same bins."""

from __future__ import annotations

import numpy as np

from qstar_core.gate.bootstrap import Values

_HALF = 0.5  # added to every bin of both, so that an empty bin counts as rare, not as impossible


def stability_index(now: Values, before: Values) -> Values:
    """Population stability index Σ (p − r)·ln(p / r) over the last axis: 0 for equal shares, the same both ways."""
    p, r = _shares(now), _shares(before)
    return np.asarray(((p - r) * np.log(p / r)).sum(axis=-1))


def kolmogorov_smirnov(now: Values, before: Values) -> Values:
    """Largest gap between the cumulative shares, bins in their order."""
    gaps = np.cumsum(now, axis=-1) / now.sum(axis=-1, keepdims=True) - np.cumsum(before) / before.sum()
    return np.asarray(np.abs(gaps).max(axis=-1))


def _shares(counts: Values) -> Values:
    smoothed = np.asarray(counts, dtype=np.float64) + _HALF
    shares: Values = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


def edges(before: Values, bins: int) -> Values:
    """Inner bounds of bins that hold about equally much of `before`; fewer where values repeat."""
    bounds: Values = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    return bounds


def one_hot(values: Values, bounds: Values) -> Values:
    """[N, bins]: 1 in the bin of each value. A value on a bound is in the bin below it."""
    found = np.zeros((len(values), len(bounds) + 1))
    found[np.arange(len(values)), np.searchsorted(bounds, values, side="left")] = 1.0
    return found
