"""How sure a measure is: Wilson's interval where every problem is right or wrong, else a bootstrap over problems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qstar_core.errors import DataError
from qstar_core.evaluation.score import Measure, Part, Parts, checked
from qstar_core.gate.bootstrap import Values, estimate

Transform = Callable[[Values], Values]
WILSON, BOOTSTRAP, ALONE = "Wilson", "bootstrap", "none"


def identity(ratio: Values) -> Values:
    return ratio


def valued(parts: Parts) -> Values:
    """[N, 2]: the parts of the problems that have a value."""
    return np.asarray([part for part in parts if part[1] > 0], dtype=np.float64).reshape(-1, 2)


def is_binary(parts_N_2: Values) -> bool:
    return bool(np.all(parts_N_2[:, 1] == 1.0) and np.all(np.isin(parts_N_2[:, 0], (0.0, 1.0))))


def measured(name: str, parts: Parts, transform: Transform, confidence: float) -> Measure:
    """DataError where no problem has a value."""
    for part in parts:
        checked(name, *part)
    parts_N_2 = valued(parts)
    n = len(parts_N_2)
    if n == 0:
        raise DataError(f"no problem has a value of {name}", "give the set problems that it applies to")
    if is_binary(parts_N_2):
        low, high = wilson(int(parts_N_2[:, 0].sum()), n, confidence)
        return Measure(name=name, value=float(parts_N_2[:, 0].mean()), low=low, high=high, n=n, method=WILSON)
    value, interval = estimate(parts_N_2, np.arange(n), lambda sums: transform(_ratio(sums)), confidence)
    low_, high_ = interval or (None, None)
    checked(name, value, low_, high_)
    if value is None:
        raise DataError(f"{name} has no value", "look at the replies of the checkpoint")
    return Measure(name=name, value=value, low=low_, high=high_, n=n, method=BOOTSTRAP if interval else ALONE)


def wilson(right: int, n: int, confidence: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(found.low), float(found.high)


def part(value: float) -> Part:
    """A problem with one value of its own."""
    return value, 1.0


def _ratio(sums: Values) -> Values:
    return sums[..., 0] / sums[..., 1]
