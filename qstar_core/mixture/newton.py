"""The root in [0, 1] of an increasing function of α, row by row: a safeguarded Newton iteration.

Newton where it at least halves the residual, bisection elsewhere, so trained models with their extreme peaks converge
too. Rows that float32 cannot bring below the tolerance are finished in float64. A row ends at an α where the condition
was measured, and does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair

Condition = Callable[[Pair, Tensor], tuple[Tensor, Tensor]]
"""The function and its slope at α, per row."""

_FLOAT32_STEPS = 30
_FLOAT64_STEPS = 80
_ENOUGH = 0.9
"""The share of the tolerance at which a row stands still; the rest is for the rounding of the measurement."""


def increasing_root(pair: Pair, condition: Condition, tolerance: float, without_root_B: Tensor,
                    at_half: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """α per row in float64, and whether |condition| is within the tolerance there. Rows `without_root` are not solved:
    they are left at ½. `at_half`: the condition there, where it is known, and a slope that leads to the root."""
    alpha_B, residual_B = _iterate(pair, condition, tolerance, _FLOAT32_STEPS, without_root_B, at_half)
    rough_B = ~(residual_B <= tolerance) & ~without_root_B & pair.any_common_B
    if bool(rough_B.any()):
        alpha_B[rough_B], residual_B[rough_B] = _iterate(
            pair.rows(rough_B).double(), condition, tolerance, _FLOAT64_STEPS, without_root_B[rough_B])
    return alpha_B, residual_B <= tolerance


def _iterate(pair: Pair, condition: Condition, tolerance: float, steps: int, without_root_B: Tensor,
             at_half: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """α and |condition| after at most `steps` passes; rows that meet the tolerance stand still."""
    alpha = torch.full(pair.any_common_B.shape, 0.5, dtype=torch.float64, device=pair.any_common_B.device)
    low, high = torch.zeros_like(alpha), torch.ones_like(alpha)
    previous = torch.full_like(alpha, float("inf"))
    open_B = torch.ones_like(without_root_B)
    value, slope = torch.empty_like(alpha), torch.empty_like(alpha)
    for step in range(steps + 1):
        if step == 0 and at_half is not None:
            value, slope = (part.double() for part in at_half)
        else:
            _measure(pair, condition, alpha, open_B, value, slope)
        residual = value.abs()
        # a residual that is NaN is out of this precision's reach
        open_B = (residual > _ENOUGH * tolerance) & ~without_root_B
        if step == steps or not bool(open_B.any()):
            break
        low = torch.where(value < 0, alpha, low)
        high = torch.where(value > 0, alpha, high)
        newton = alpha - value / slope
        trusted = (newton > low) & (newton < high) & (residual <= 0.5 * previous)
        previous = residual
        alpha = torch.where(open_B, torch.where(trusted, newton, 0.5 * (low + high)), alpha)
    return alpha, residual


def _measure(pair: Pair, condition: Condition, alpha_B: Tensor, open_B: Tensor, value_B: Tensor,
             slope_B: Tensor) -> None:
    """The condition where α moved, into `value` and `slope`. A few rows are taken out: that costs less than a pass over
    all of them."""
    if 2 * int(open_B.sum()) > pair.rows_count:
        found = (part[open_B] for part in condition(pair, alpha_B))
    else:
        found = (part for part in condition(pair.rows(open_B), alpha_B[open_B]))
    value_B[open_B], slope_B[open_B] = (part.double() for part in found)
