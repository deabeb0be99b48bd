"""How many kept samples an arm needs: to reach a level of accuracy, and on the whole way.

A curve joins the rounds by straight lines over the samples kept, and a reach is where the mean curve first meets the
level. A curve that never meets it has no such number, and the record says so. Relative to a baseline, efficiency is the
baseline's reach over the arm's. A baseline that never meets the level would have needed more than all it kept, so the
efficiency is at least so much (`at_least`); an arm that never meets it has the efficiency 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from qstar_core.experiments.statistics.estimate import CONFIDENCE, Estimate, Values, quantile
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.resampling import Curve, Drawn, resampled
from qstar_core.plural import counted
from qstar_core.records import Record

_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


class Reach(Record):
    """Samples kept until the level; None is never, within `kept` samples. `high` is None where it may be never."""

    at: float | None
    low: float | None
    high: float | None
    kept: float

    def told(self) -> str:
        if self.at is None:
            return f"never ({self.kept:,.0f} kept)"
        low = "–" if self.low is None else f"{self.low:,.0f}"
        return f"{self.at:,.0f} ({low} to {'never' if self.high is None else f'{self.high:,.0f}'})"


class Efficiency(Record):
    """`ratio` is None where nothing can be said, and `why` says why not."""

    ratio: Estimate | None
    at_least: bool = False
    why: str = ""


def level_of(lines: Sequence[Line]) -> float | None:
    """Half-way from the first student to the best of the last ones; None where no arm makes it any better."""
    first = float(np.mean([line.right_S_R_N[:, 0].mean() for line in lines]))
    best = max(float(line.right_S_R_N[:, -1].mean()) for line in lines)
    return (first + best) / 2 if best > first else None


def budget_of(lines: Sequence[Line]) -> float:
    """Up to where all curves are known: the fewest samples that an arm which keeps any has kept in the end."""
    return min((float(line.kept_S_R[:, -1].mean()) for line in lines if line.kept_S_R[:, -1].any()), default=0.0)


def reach(line: Line, level: float) -> Reach:
    drawn = resampled([line], lambda curves: reached(curves[0], level))
    low, high = _ends(drawn, drawn.value)
    kept = float(line.kept_S_R[:, -1].mean())
    return Reach(at=drawn.value if np.isfinite(drawn.value) else None, kept=kept,
                 low=max(0.0, low) if np.isfinite(low) else None, high=high if np.isfinite(high) else None)


def efficiency(line: Line, baseline: Line, level: float) -> Efficiency:
    def log_ratio(curves: Sequence[Curve]) -> Values:
        ours, theirs = reached(curves[0], level), reached(curves[1], level)
        known = np.where(np.isfinite(theirs), theirs, curves[1].kept_B_R[:, -1])
        with np.errstate(divide="ignore", invalid="ignore"):
            # A first student who is there already takes both no samples: neither is the more efficient.
            return np.asarray(np.where((known == 0) & (ours == 0), 0.0, np.log(known) - np.log(ours)))

    drawn = resampled([line, baseline], log_ratio)
    theirs = reach(baseline, level)
    if not np.isfinite(np.exp(drawn.value)) or not all(one.kept_S_R[:, -1].any() for one in (line, baseline)):
        return Efficiency(ratio=None, why="one of them keeps no samples")
    if drawn.value == -np.inf and theirs.at is None:
        return Efficiency(ratio=None, why=f"neither reaches the level in {counted(drawn.seeds, 'seed')} that both have")
    low, high = np.exp(_ends(drawn, drawn.value))
    open_above = theirs.at is None or theirs.high is None or not np.isfinite(high)
    return Efficiency(at_least=theirs.at is None, ratio=Estimate(
        value=float(np.exp(drawn.value)), low=float(low), high=None if open_above else float(high),
        seeds=drawn.counted, problems=drawn.problems))


def area(line: Line, budget: float) -> Estimate:
    """The mean height of the curve over the samples from 0 to `budget`."""
    drawn = resampled([line], lambda curves: height(curves[0], budget))
    variance, freedom = drawn.spread()
    away = quantile(freedom) * float(np.sqrt(variance))
    return Estimate(value=drawn.value, low=max(0.0, drawn.value - away), high=min(1.0, drawn.value + away),
                    seeds=drawn.counted, problems=drawn.problems)


def reached(curve: Curve, level: float) -> Values:
    """[B]: ∞ where never."""
    y_B_R, x_B_R = curve.accuracy_B_R, curve.kept_B_R
    up_B_R = (y_B_R[:, :-1] < level) & (y_B_R[:, 1:] >= level)
    step_B = up_B_R.argmax(1)
    row = np.arange(len(y_B_R))
    y0, y1, x0, x1 = (values[row, step_B + later] for values in (y_B_R, x_B_R) for later in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = x0 + (level - y0) / (y1 - y0) * (x1 - x0)
    found = np.where(up_B_R.any(1), crossed, np.inf)
    return np.asarray(np.where(y_B_R[:, 0] >= level, x_B_R[:, 0], found))


def height(curve: Curve, budget: float) -> Values:
    """[B]: a curve that ends earlier goes on level."""
    if budget <= 0:
        return curve.accuracy_B_R[:, 0]
    grid = np.linspace(0, budget, 201)
    return np.asarray([np.trapezoid(np.interp(grid, x_R, y_R), grid) / budget
                       for x_R, y_R in zip(curve.kept_B_R, curve.accuracy_B_R, strict=True)])


def _ends(drawn: Drawn, value: float) -> tuple[float, float]:
    """The middle of the resamples, widened about the value as Student's t is against the normal distribution."""
    both_B = drawn.both_B if drawn.seeds > 1 else drawn.problems_B
    low, high = np.quantile(both_B, _TAILS, method="inverted_cdf")
    if not np.isfinite(value):
        return float(low), float(high)
    wider = quantile(drawn.spread()[1]) / float(stats.norm.ppf(_TAILS[1]))
    return value + wider * float(low - value), value + wider * float(high - value)
