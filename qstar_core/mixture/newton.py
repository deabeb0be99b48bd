"""The Chernoff point by a safeguarded Newton iteration on the derivative of the convex log Z(α) over [0, 1].

Newton where it at least halves the residual, bisection elsewhere, so trained models with their extreme peaks converge
too. Rows that float32 cannot bring below the tolerance are finished in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair, moments

_FLOAT32_STEPS = 30
_FLOAT64_STEPS = 80


def solve_kl_symmetry(pair: Pair, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """α per row in float64, whether it sits at an end for lack of an interior root, and whether it is solved."""
    alpha_B, residual_B = _iterate(pair, tolerance, _FLOAT32_STEPS)
    alpha_B, at_end_B = _check_ends(pair, alpha_B)
    rough_B = (residual_B > tolerance) & ~at_end_B & pair.any_common_B
    if bool(rough_B.any()):
        alpha_B[rough_B], residual_B[rough_B] = _iterate(pair.rows(rough_B).double(), tolerance, _FLOAT64_STEPS)
    return alpha_B, at_end_B, (residual_B <= tolerance) | at_end_B


def _iterate(pair: Pair, tolerance: float, steps: int) -> tuple[Tensor, Tensor]:
    """α and |g| after at most `steps` passes; rows that meet the tolerance stand still."""
    alpha = torch.full(pair.any_common_B.shape, 0.5, dtype=torch.float64, device=pair.any_common_B.device)
    low, high = torch.zeros_like(alpha), torch.ones_like(alpha)
    previous = torch.full_like(alpha, float("inf"))
    for _ in range(steps):
        at = moments(pair, alpha)
        g, curvature = at.g_B.double(), at.variance_B.double()
        open_B = g.abs() > tolerance
        if not bool(open_B.any()):
            break
        low = torch.where(g < 0, alpha, low)
        high = torch.where(g > 0, alpha, high)
        newton = alpha - g / curvature
        trusted = (newton > low) & (newton < high) & (g.abs() <= 0.5 * previous)
        previous = g.abs()
        alpha = torch.where(open_B, torch.where(trusted, newton, 0.5 * (low + high)), alpha)
    return alpha, moments(pair, alpha).g_B.abs().double()


def _check_ends(pair: Pair, alpha_B: Tensor) -> tuple[Tensor, Tensor]:
    """Where supports differ, log Z may fall (or rise) over the whole interval: then the minimum is an end."""
    differ_B = ~pair.same_support_B
    if not bool(differ_B.any()):
        return alpha_B, torch.zeros_like(differ_B)
    zero_B, one_B = torch.zeros_like(alpha_B), torch.ones_like(alpha_B)
    rising_B = differ_B & (moments(pair, zero_B).g_B >= 0)
    falling_B = differ_B & (moments(pair, one_B).g_B <= 0) & ~rising_B
    alpha_B = torch.where(rising_B, zero_B, torch.where(falling_B, one_B, alpha_B))
    return alpha_B, rising_B | falling_B
