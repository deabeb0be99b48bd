"""What a check is: one a file, a value with its interval, the limits it must keep, and what usually breaks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.bootstrap import Codes, Combine, Values, estimate, ratio
from qstar_core.gate.version import Given, Ids
from qstar_core.records import GateVerdict

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Limits:
    low: float | None = None
    high: float | None = None

    def excess(self, values: Values) -> Values:
        """By how much values lie outside; 0 or less inside, NaN for NaN."""
        none = np.full_like(values, -np.inf)
        return np.asarray(np.maximum(none if self.low is None else self.low - values,
                                     none if self.high is None else values - self.high))

    def allow(self, value: float) -> bool:
        return not (self.low is not None and value < self.low) and not (self.high is not None and value > self.high)

    def broken(self, value: float, interval: tuple[float, float] | None) -> Limits:
        """Those that the value breaks; where it breaks none, those that its interval reaches beyond."""
        least, most = interval if self.allow(value) and interval is not None else (value, value)
        return Limits(self.low if self.low is not None and least < self.low else None,
                      self.high if self.high is not None and most > self.high else None)


@dataclass(frozen=True, slots=True)
class Measured:
    """`worst` are the samples that speak most against the version, with their own value."""

    value: float | None
    interval: tuple[float, float] | None = None
    note: str = ""
    worst: tuple[tuple[str, float | None], ...] = ()


class Check(Protocol):
    """`severity` is the verdict outside of the limits, unless the settings say otherwise."""

    @property
    def name(self) -> str: ...

    @property
    def severity(self) -> GateVerdict: ...

    @property
    def cause(self) -> str: ...

    def limits(self, settings: GateSettings) -> Limits: ...

    def measure(self, given: Given, settings: GateSettings) -> Measured: ...


def shares(numerator_N: Values, denominator_N: Values, prompt_N: Codes, id_N: Ids, limits: Limits,
           note: str) -> Measured:
    """Σ numerator / Σ denominator over rows that have both; the worst rows are those whose share is farthest off, on
    the side on which all together are."""
    has_N = np.isfinite(numerator_N) & np.isfinite(denominator_N) & (denominator_N > 0)
    parts = np.stack([numerator_N[has_N], denominator_N[has_N]], axis=1)
    value, interval = estimate(parts, prompt_N[has_N], ratio)
    own = parts[:, 0] / parts[:, 1]
    if value is None:
        return Measured(None, note=note)
    return Measured(value, interval, note, worst_rows(own, limits.broken(value, interval).excess(own), id_N[has_N]))


def moved(parts_N_K: Values, prompt_N: Codes, combine: Combine, note: str) -> Measured:
    """A distance between two distributions: never below 0."""
    value, interval = estimate(parts_N_K, prompt_N, combine)
    return Measured(value, interval and (max(0.0, interval[0]), interval[1]), note)


def worst_rows(value_N: Values, badness_N: Values, id_N: Ids) -> tuple[tuple[str, float | None], ...]:
    """At most EXAMPLES rows with the greatest badness above 0, the earlier first where it is the same."""
    order = np.argsort(-badness_N, kind="stable")[:EXAMPLES]
    return tuple((str(id_N[row]), float(value_N[row])) for row in order if badness_N[row] > 0)
