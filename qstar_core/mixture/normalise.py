"""From two rows of logits to two distributions: what normalises them, their entropies, and where the search for a
root of g begins.

One pass over the vocabulary sums up parts of rows, each below its own largest logits; a second one, over a few numbers
a row, joins them in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, cut, fusable, parts_of

NOWHERE = float("-inf")
REACH = -60.0
"""The log of a sum of weights below which float32 has lost too many of them."""

_LOWEST = -1e4
"""Part sums so far below the largest logit count as nothing, also in float64."""

_PART = 1024


class Logits(NamedTuple):
    """Rows of logits, or parts of rows."""

    theta_B_V: Tensor
    t_B_V: Tensor
    whole: bool
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.theta_B_V.shape[0]

    def split(self, parts: int) -> Logits:
        return Logits(cut(self.theta_B_V, parts), cut(self.t_B_V, parts), self.whole, self.fused)


class _Sums(NamedTuple):
    """Of every part of a row: the largest and the smallest logit; Σ and Σ·x of the weights of both models, x below the
    part's largest logits; of the weights at α = ½ Σ and Σ·δ up to Σ·δ⁴. Tokens of probability 0 add nothing."""

    top_theta: Tensor
    low_theta: Tensor
    top_t: Tensor
    low_t: Tensor
    sum_theta: Tensor
    energy_theta: Tensor
    sum_t: Tensor
    energy_t: Tensor
    half: Tensor
    half_1: Tensor
    half_2: Tensor
    half_3: Tensor
    half_4: Tensor
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.top_theta.shape[0]


class Normalised(NamedTuple):
    """Of rows: the fields of a Pair of the same names; the smallest logits."""

    top_theta_B: Tensor
    top_t_B: Tensor
    log_sum_theta_B: Tensor
    log_sum_t_B: Tensor
    entropy_theta_B: Tensor
    entropy_t_B: Tensor
    half_g_B: Tensor
    half_slope_B: Tensor
    low_B: Tensor


def widened(logits_B_V: Tensor) -> Tensor:
    """At least float32."""
    return logits_B_V if logits_B_V.dtype == torch.float64 else logits_B_V.float()


@fusable
def supports_of(two: Logits) -> tuple[Tensor, Tensor, Tensor]:
    """any_common, theta_inside_t and t_inside_theta."""
    in_theta, in_t = widened(two.theta_B_V) > NOWHERE, widened(two.t_B_V) > NOWHERE
    return (in_theta & in_t).any(-1), (in_t | ~in_theta).all(-1), (in_theta | ~in_t).all(-1)


def normalised(two: Logits) -> Normalised:
    """Sums of parts in their precision, of the parts in float64."""
    parts = parts_of(two.theta_B_V.shape[1], _PART) if two.fused else 1
    sums = (base_free(part.view(-1, parts)) for part in _sums(two.split(parts)))
    return _joined(_Sums._make([*sums, two.fused]))


@fusable
def _sums(two: Logits) -> tuple[Tensor, ...]:
    """The fields of _Sums, one value for a part."""
    theta, t = widened(two.theta_B_V), widened(two.t_B_V)
    extremes = theta.amax(-1), theta.amin(-1), t.amax(-1), t.amin(-1)
    top_theta, top_t = extremes[::2] if two.whole else (_above_nothing(top) for top in extremes[::2])
    theta, t = theta - top_theta[:, None], t - top_t[:, None]
    weight_theta, weight_t = theta.exp(), t.exp()
    if two.whole:
        half, delta = (0.5 * (theta + t)).exp(), t - theta
    else:
        common = (theta > NOWHERE) & (t > NOWHERE)
        half = torch.where(common, 0.5 * (theta + t), NOWHERE).exp()
        delta = torch.where(common, t - theta, 0.0)
        theta, t = _above_nothing(theta), _above_nothing(t)
    first, square = half * delta, delta * delta
    return (*extremes, weight_theta.sum(-1), (weight_theta * theta).sum(-1), weight_t.sum(-1), (weight_t * t).sum(-1),
            half.sum(-1), first.sum(-1), (half * square).sum(-1), (first * square).sum(-1),
            (half * square * square).sum(-1))


def _above_nothing(logits: Tensor) -> Tensor:
    """−∞ as the lowest number: 0 times it is 0."""
    return logits.clamp_min(torch.finfo(logits.dtype).min)


@fusable
def _joined(sums: _Sums) -> Normalised:
    """Every part's sums are moved from its own largest logits to those of the row."""
    top_theta_B, below_theta, log_sum_theta_B, entropy_theta_B = _side(
        sums.top_theta, sums.sum_theta, sums.energy_theta)
    top_t_B, below_t, log_sum_t_B, entropy_t_B = _side(sums.top_t, sums.sum_t, sums.energy_t)
    share, shift = (0.5 * (below_theta + below_t)).exp(), below_t - below_theta
    zero, one, two, three, four = (share * power.double() for power in sums[8:13])
    half_B = zero.sum(-1)
    mean_B = (one + shift * zero).sum(-1) / half_B
    second_B = (two + shift * (2 * one + shift * zero)).sum(-1) / half_B
    third_B = (three + shift * (3 * two + shift * (3 * one + shift * zero))).sum(-1) / half_B
    fourth_B = (four + shift * (4 * three + shift * (6 * two + shift * (4 * one + shift * zero)))).sum(-1) / half_B
    half_g_B = torch.where(half_B.log() > REACH, mean_B + log_sum_theta_B - log_sum_t_B, torch.nan)
    half_slope_B = _slope_to_root(half_g_B, mean_B, second_B, third_B, fourth_B)
    dtype = sums.top_theta.dtype
    low_B = torch.minimum(sums.low_theta.amin(-1), sums.low_t.amin(-1))
    return Normalised(*(part.to(dtype) for part in (
        top_theta_B, top_t_B, log_sum_theta_B, log_sum_t_B, entropy_theta_B, entropy_t_B, half_g_B, half_slope_B,
        low_B)))


def _side(top: Tensor, weight: Tensor, energy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of one model: the largest logit, how far below it those of the parts are, log Σ exp below it, the entropy."""
    top_B = top.amax(-1).double()
    below = (top.double() - top_B[:, None]).clamp_min(_LOWEST)
    weight = below.exp() * weight.double()
    sum_B = weight.sum(-1)
    energy_B = (below.exp() * energy.double() + below * weight).sum(-1)
    return top_B, below, sum_B.log(), sum_B.log() - energy_B / sum_B


def _slope_to_root(g_B: Tensor, mean_B: Tensor, second_B: Tensor, third_B: Tensor, fourth_B: Tensor) -> Tensor:
    """Householder's step of the fourth order as the slope of a line: g and its derivatives are the cumulants of δ. A
    slope more than twice as steep or flat as the tangent is not believed."""
    variance_B = second_B - mean_B**2
    skew_B = third_B - 3 * mean_B * second_B + 2 * mean_B**3
    excess_B = fourth_B - 4 * mean_B * third_B + 6 * mean_B**2 * second_B - 3 * mean_B**4 - 3 * variance_B**2
    newton_B = -g_B / variance_B
    bend_B = skew_B / variance_B * newton_B
    bent_B = (1 + bend_B + excess_B / (6 * variance_B) * newton_B**2) / (1 + bend_B / 2)
    return variance_B * bent_B.clamp(0.5, 2.0)
