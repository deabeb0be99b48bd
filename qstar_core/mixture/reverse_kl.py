"""KL(θ‖q) = KL(t‖q), in closed form: α = KL(t‖θ) / (KL(θ‖t) + KL(t‖θ)).

For KL(θ‖q) = α·KL(θ‖t) + log Z and KL(t‖q) = (1−α)·KL(t‖θ) + log Z. Computed in float64, term by term without
cancellation, so that nearly equal models still come out near ½.

Where the supports differ a KL is infinite. Then α is the limit as the missing probabilities go to 0 together: with m
the mass that a model has where the other has none, α = m_t/(m_θ + m_t).
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair
from qstar_core.mixture.method import AlphaOptions, AlphaStatus, Solved, supported


class ReverseKLSymmetry:
    """q is as far from the student as from the teacher, measured from the models."""

    name = "reverse_kl_symmetry"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> Solved:
        of_theta_B, of_t_B = _divergences(pair)
        both_B = of_theta_B + of_t_B
        alpha_B = torch.where(both_B > 0, of_t_B / both_B, 0.5)
        limit_B = torch.sigmoid(_log_lost(pair.logp_t_B_V, pair) - _log_lost(pair.logp_theta_B_V, pair))
        differ_B = ~pair.same_support_B & pair.any_common_B
        status_B = supported(pair).masked_fill(differ_B, AlphaStatus.BOUNDARY)
        return Solved(torch.where(differ_B, limit_B, alpha_B), status_B)

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        """KL(θ‖q) − KL(t‖q)."""
        of_theta_B, of_t_B = _divergences(pair)
        difference_B = alpha_B * of_theta_B - (1.0 - alpha_B) * of_t_B
        lost_theta_B = difference_B.masked_fill(~pair.theta_inside_t_B, float("inf"))
        return lost_theta_B.masked_fill(~pair.t_inside_theta_B, float("-inf"))


def _divergences(pair: Pair) -> tuple[Tensor, Tensor]:
    """KL(θ‖t) and KL(t‖θ) over the common support."""
    base, delta = pair.double().path()
    theta, t = base.exp(), (base + delta).exp()
    return _divergence(theta, t, delta), _divergence(t, theta, -delta)


def _divergence(p: Tensor, other: Tensor, delta: Tensor) -> Tensor:
    """Σ p·(e^δ − 1 − δ), δ = log other/p: no summand is negative, so nothing cancels between tokens."""
    near = p * (torch.expm1(delta.clamp(-1.0, 1.0)) - delta)
    return torch.where(delta.abs() < 1.0, near, other - p - p * delta).sum(-1)


def _log_lost(logp_B_V: Tensor, pair: Pair) -> Tensor:
    """log of the mass outside of the common support."""
    return torch.logsumexp(logp_B_V.double().masked_fill(pair.path()[0] > float("-inf"), float("-inf")), dim=-1)
