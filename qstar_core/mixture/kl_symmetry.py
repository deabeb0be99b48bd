"""KL(q‖θ) = KL(q‖t): the Chernoff point, where the convex log Z(α) is smallest on [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair, Surveyed, moments, settled_moments, surveyed
from qstar_core.mixture.method import AlphaOptions, AlphaStatus, Solved, all_ok
from qstar_core.mixture.newton import increasing_root


class KLSymmetry:
    """The root of d log Z/dα = KL(q‖θ) − KL(q‖t)."""

    name = "kl_symmetry"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        at_zero_B, at_one_B = _ends(pair, tolerance)
        at_end_B = at_zero_B | at_one_B
        slope_of_log_z = _SlopeOfLogZ(pair)
        alpha_B, solved_B = increasing_root(pair, slope_of_log_z, tolerance, at_end_B | ~pair.any_common_B,
                                           (pair.half_g_B, pair.half_slope_B))
        status_B = all_ok(pair).masked_fill(~solved_B, AlphaStatus.NOT_CONVERGED)
        status_B = status_B.masked_fill(at_end_B, AlphaStatus.BOUNDARY)
        alpha_B = alpha_B.masked_fill(at_zero_B, 0.0).masked_fill(at_one_B, 1.0)
        status_B = status_B.masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
        return Solved(alpha_B, status_B, slope_of_log_z.known)

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        return g_B


class _SlopeOfLogZ:
    """The condition. The first α after ½ is nearly always the last one: there everything is measured at once."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.known: Surveyed | None = None

    def __call__(self, pair: Pair, alpha_B: Tensor) -> tuple[Tensor, Tensor]:
        if self.known is None and pair is self._pair:
            self.known = surveyed(pair, alpha_B)
            return self.known.found.g_B, self.known.found.variance_B
        at = moments(pair, alpha_B)
        return at.g_B, at.variance_B


def _ends(pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
    """Where supports differ, log Z may rise (or fall) over the whole interval: then the minimum is an end
    and the KLs differ there."""
    differ_B = ~pair.same_support_B
    if not bool(differ_B.any()):
        return differ_B, differ_B
    zero_B = torch.zeros(differ_B.shape, dtype=torch.float64, device=differ_B.device)
    rising_B = differ_B & (settled_moments(pair, zero_B).g_B > tolerance)
    return rising_B, differ_B & (settled_moments(pair, zero_B + 1.0).g_B < -tolerance)
