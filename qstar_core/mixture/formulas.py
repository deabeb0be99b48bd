"""Methods that are a formula, not an equation: a fixed α, and the two shares of entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair
from qstar_core.mixture.method import AlphaOptions, AlphaStatus, Solved, all_ok, supported


class Fixed:
    """The same α everywhere."""

    name = "fixed"
    pure_ends = True

    def __init__(self, options: AlphaOptions) -> None:
        self.value = options.fixed

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        status_B = all_ok(pair)
        if 0.0 < self.value < 1.0:
            status_B = status_B.masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
        return Solved(torch.full(status_B.shape, self.value, dtype=torch.float64, device=status_B.device), status_B)

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        return g_B


class Entropy:
    """α = H_t / (H_θ + H_t): leans to the less sure model, and approximates KL symmetry."""

    name = "entropy"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        return Solved(_entropy_share(pair, pair.entropy_t_B), supported(pair))

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        return g_B


class Confidence:
    """α = H_θ / (H_θ + H_t): trusts the surer model."""

    name = "confidence"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        return Solved(_entropy_share(pair, pair.entropy_theta_B), supported(pair))

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        return g_B


def _entropy_share(pair: Pair, of_B: Tensor) -> Tensor:
    """The share of one model's entropy in the sum of both; ½ where both are sure."""
    both_B = pair.entropy_theta_B.double() + pair.entropy_t_B.double()
    return torch.where(both_B > 0, of_B.double() / both_B, 0.5).clamp(0.0, 1.0)
