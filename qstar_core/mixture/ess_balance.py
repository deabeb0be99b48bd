"""ESS_θ(q) = ESS_t(q): the root of Z(−α) = Z(2−α).

ESS_θ = 1/(Z(α)·Z(−α)) and ESS_t = 1/(Z(α)·Z(2−α)), so the log ESS ratio is log Z(2−α) − log Z(−α). With log Z convex
and 0 at both ends it falls from log Z(2) ≥ 0 at α = 0 to −log Z(−1) ≤ 0 at α = 1: there is one root.

A model with mass where the other has none has an ESS of 0, whatever α. Then α is the limit of the roots as the missing
probabilities go to 0: the end of the model that loses mass, ½ where both do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair, moments, survey
from qstar_core.mixture.method import AlphaOptions, AlphaStatus, Solved, all_ok
from qstar_core.mixture.newton import increasing_root


class EssBalance:
    """Both effective sample sizes are the same."""

    name = "ess_balance"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        differ_B = ~pair.same_support_B
        alpha_B, solved_B = increasing_root(pair, _minus_log_ratio, tolerance, differ_B)
        status_B = all_ok(pair).masked_fill(~solved_B, AlphaStatus.NOT_CONVERGED)
        status_B = status_B.masked_fill(differ_B, AlphaStatus.BOUNDARY)
        limit_B = 0.5 + 0.5 * pair.theta_inside_t_B.double() - 0.5 * pair.t_inside_theta_B.double()
        alpha_B = torch.where(differ_B, limit_B, alpha_B)
        return Solved(alpha_B, status_B.masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT))

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        """log ESS_θ − log ESS_t."""
        found = survey(pair, alpha_B)
        ratio_B = found.log_z_above_B - found.log_z_below_B
        lost_theta_B = ratio_B.masked_fill(~pair.theta_inside_t_B, float("-inf"))
        return lost_theta_B.masked_fill(~pair.t_inside_theta_B, float("inf"))


def _minus_log_ratio(pair: Pair, alpha_B: Tensor) -> tuple[Tensor, Tensor]:
    """log Z(−α) − log Z(2−α), which rises with α, and its slope."""
    below, above = moments(pair, -alpha_B), moments(pair, 2.0 - alpha_B)
    return below.log_z_B - above.log_z_B, above.g_B - below.g_B
