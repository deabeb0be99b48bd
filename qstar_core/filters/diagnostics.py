"""Drops samples whose α, ESS, KL or log Z lie outside of bounds, or far from the rest of the round (robust z-score: the
distance from the median in units of 1.4826 times the median absolute deviation)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from qstar_core.config import Range
from qstar_core.filters.base import Candidate, Finding, Options, RoundFilter
from qstar_core.filters.context import FilterContext
from qstar_core.records import MixSummary

Quantity = Literal["alpha_mean", "alpha_std", "ess_ratio_mean", "divergent_ess_ratio_mean", "kl_theta_mean",
                   "kl_t_mean", "kl_abs_difference_mean", "entropy_theta_mean", "entropy_t_mean", "log_z_mean",
                   "logq_mean"]
_SUMS = {"log_z_mean": "log_z_sum", "logq_mean": "logq_sum"}
_MAD_TO_SIGMA = 1.4826
_FEWEST = 8  # below, a median says nothing about outliers

Values = tuple[float | None, ...]


class DiagnosticsOptions(Options):
    bounds: dict[Quantity, Range] = Field(default_factory=dict, description="low and high of a quantity")
    max_z: dict[Quantity, float] = Field(default_factory=dict, description="Largest robust z-score of a quantity")


class DiagnosticsFilter(RoundFilter[DiagnosticsOptions]):
    name = "diagnostics"
    options = DiagnosticsOptions

    def __init__(self, options: DiagnosticsOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._names: tuple[Quantity, ...] = tuple(dict.fromkeys((*options.bounds, *options.max_z)))
        self._centre: dict[str, tuple[float, float]] = {}

    @property
    def whole_round(self) -> bool:
        return bool(self._options.max_z)

    def measure(self, candidates: Sequence[Candidate]) -> list[Values]:
        return [tuple(_value(candidate.sample.summary, name) for name in self._names) for candidate in candidates]

    def settle(self, measured: Sequence[Values]) -> None:
        for column, name in enumerate(self._names):
            values = np.array([row[column] for row in measured if row[column] is not None], dtype=np.float64)
            if name in self._options.max_z and len(values) >= _FEWEST:
                median = float(np.median(values))
                self._centre[name] = median, _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))

    def decide(self, measured: Values) -> Finding | None:
        """A sample without the number (no summary, or none of the kind) passes."""
        for name, value in zip(self._names, measured, strict=True):
            if value is None:
                continue
            bounds = self._options.bounds.get(name)
            if bounds is not None and not bounds.low <= value <= bounds.high:
                return Finding(f"{name} outside of its bounds", value)
            median, sigma = self._centre.get(name, (value, 0.0))
            if sigma > 0 and abs(value - median) / sigma > self._options.max_z[name]:
                return Finding(f"{name} is an outlier", value)
        return None


def _value(summary: MixSummary | None, name: str) -> float | None:
    if summary is None:
        return None
    if name in _SUMS:
        return getattr(summary, _SUMS[name]) / summary.tokens if summary.tokens else None
    value: float | None = getattr(summary, name)
    return value if value is None or math.isfinite(value) else None
