"""The geometric path q_α ∝ π_θ^(1-α) · π_t^α between two categorical distributions, row by row, in log space.

A token outside the common support has q_α = 0 for every α strictly between 0 and 1. `base` and `delta` hold the path on
the common support only, so every sum over tokens is finite: log q_α = base + α·delta − log Z(α).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NOWHERE = float("-inf")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two normalised distributions and the path between them."""

    logp_theta_B_V: Tensor
    logp_t_B_V: Tensor
    base_B_V: Tensor
    delta_B_V: Tensor
    any_common_B: Tensor
    theta_inside_t_B: Tensor
    t_inside_theta_B: Tensor

    @property
    def same_support_B(self) -> Tensor:
        return self.theta_inside_t_B & self.t_inside_theta_B

    def rows(self, index_B: Tensor) -> Pair:
        return Pair(*(getattr(self, name)[index_B] for name in self.__slots__))

    def double(self) -> Pair:
        """The same pair in float64, normalised again there."""
        return pair_of(self.logp_theta_B_V.double(), self.logp_t_B_V.double())


@dataclass(frozen=True, slots=True)
class Moments:
    """log Z(α), its derivative g = E_q[δ] = KL(q‖θ) − KL(q‖t), and its curvature Var_q[δ]."""

    log_z_B: Tensor
    g_B: Tensor
    variance_B: Tensor


def pair_of(logits_theta_B_V: Tensor, logits_t_B_V: Tensor) -> Pair:
    """Normalise two rows of logits (float32 or wider). Rows with NaN, +inf or nothing but −inf come out as NaN."""
    theta = torch.log_softmax(logits_theta_B_V, dim=-1)
    t = torch.log_softmax(logits_t_B_V, dim=-1)
    in_theta, in_t = theta > _NOWHERE, t > _NOWHERE
    common = in_theta & in_t
    return Pair(
        logp_theta_B_V=theta,
        logp_t_B_V=t,
        base_B_V=theta.masked_fill(~common, _NOWHERE),
        delta_B_V=(t - theta).masked_fill(~common, 0.0),
        any_common_B=common.any(-1),
        theta_inside_t_B=(in_t | ~in_theta).all(-1),
        t_inside_theta_B=(in_theta | ~in_t).all(-1),
    )


def log_z(pair: Pair, alpha_B: Tensor) -> Tensor:
    """log Σ π_θ^(1-α) π_t^α over the common support; any real α."""
    return torch.logsumexp(_exponent(pair, alpha_B), dim=-1)


def log_q(pair: Pair, alpha_B: Tensor) -> Tensor:
    """log q_α, [B, V]; at α = 0 or 1 the limit: the surviving model renormalised on the common support."""
    return torch.log_softmax(_exponent(pair, alpha_B), dim=-1)


def moments(pair: Pair, alpha_B: Tensor) -> Moments:
    exponent = _exponent(pair, alpha_B)
    log_z_B = torch.logsumexp(exponent, dim=-1)
    q = torch.exp(exponent - log_z_B[:, None])
    g = torch.linalg.vecdot(q, pair.delta_B_V)
    centred = pair.delta_B_V - g[:, None]
    return Moments(log_z_B, g, torch.linalg.vecdot(q * centred, centred))


def total_variation(p_B_V: Tensor, other_B_V: Tensor) -> Tensor:
    distance_B: Tensor = (p_B_V - other_B_V).abs().sum(-1)
    return 0.5 * distance_B


def entropy(logp_B_V: Tensor, p_B_V: Tensor | None = None) -> Tensor:
    """Shannon entropy in nats; tokens of probability 0 add nothing. Known `p` spare the exponentials."""
    finite_B_V = logp_B_V.clamp_min(torch.finfo(logp_B_V.dtype).min)
    negative_B: Tensor = torch.linalg.vecdot(logp_B_V.exp() if p_B_V is None else p_B_V, finite_B_V)
    return negative_B.neg()


def _exponent(pair: Pair, alpha_B: Tensor) -> Tensor:
    return torch.addcmul(pair.base_B_V, pair.delta_B_V, alpha_B.to(pair.base_B_V.dtype)[:, None])
