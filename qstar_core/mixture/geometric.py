"""The geometric path q_α ∝ π_θ^(1-α) · π_t^α between two categorical distributions, row by row, in log space.

A token outside the common support has q_α = 0 for every α strictly between 0 and 1. `base` and `delta` hold the path on
the common support only, so every sum over tokens is finite: log q_α = base + α·delta − log Z(α).

A Pair keeps the logits and one normaliser per row; everything wide is formed where it is summed, so that a compiled
pass needs no memory of its own. Float32 passes take no maximum first: Z(α) ≤ 1 for α in [0, 1], with no summand above
1. Where that is not enough, they return NaN and the row is done in float64, with the maximum taken out.

Logits may be of half precision: they stay as they are in memory and are widened where they are read, which is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, cut, fusable, spread
from qstar_core.mixture.normalise import NOWHERE, REACH, Logits, normalised, supports_of

_REACHABLE = 1e-36
"""The smallest weight that float32 divides by."""


class Pair(NamedTuple):
    """Two rows of logits, what normalises them, what is known about their supports, and g at α = ½, where every search
    for a root of g begins, with the slope of the line from there to the root, up to the fourth order. `whole`: no logit
    is −∞, so nothing has to be masked."""

    theta_B_V: Tensor
    t_B_V: Tensor
    top_theta_B: Tensor
    top_t_B: Tensor
    log_sum_theta_B: Tensor
    log_sum_t_B: Tensor
    entropy_theta_B: Tensor
    entropy_t_B: Tensor
    any_common_B: Tensor
    theta_inside_t_B: Tensor
    t_inside_theta_B: Tensor
    half_g_B: Tensor
    half_slope_B: Tensor
    whole: bool
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.theta_B_V.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """What is calculated in: float32, or float64."""
        return self.log_sum_theta_B.dtype

    @property
    def logp_theta_B_V(self) -> Tensor:
        return (self.theta_B_V.to(self.dtype) - self.top_theta_B[:, None]) - self.log_sum_theta_B[:, None]

    @property
    def logp_t_B_V(self) -> Tensor:
        return (self.t_B_V.to(self.dtype) - self.top_t_B[:, None]) - self.log_sum_t_B[:, None]

    @property
    def failed_theta_B(self) -> Tensor:
        """NaN, +inf or no token at all."""
        return ~(self.top_theta_B.isfinite() & self.log_sum_theta_B.isfinite())

    @property
    def failed_t_B(self) -> Tensor:
        return ~(self.top_t_B.isfinite() & self.log_sum_t_B.isfinite())

    @property
    def same_support_B(self) -> Tensor:
        return self.theta_inside_t_B & self.t_inside_theta_B

    def path(self) -> tuple[Tensor, Tensor]:
        """base and delta."""
        theta, t = self.logp_theta_B_V, self.logp_t_B_V
        if self.whole:
            return theta, t - theta
        common = (theta > NOWHERE) & (t > NOWHERE)
        return torch.where(common, theta, NOWHERE), torch.where(common, t - theta, 0.0)

    @property
    def width(self) -> int:
        return self.theta_B_V.shape[1]

    def rows(self, index_B: Tensor) -> Pair:
        return Pair._make([*(part[index_B] for part in self[:-2]), self.whole, self.fused])

    def columns(self, token_B: Tensor) -> Pair:
        """The same distributions, seen at one token per row."""
        at = token_B[:, None]
        return self._replace(theta_B_V=self.theta_B_V.gather(1, at), t_B_V=self.t_B_V.gather(1, at))

    def split(self, parts: int) -> Pair:
        """Every row as `parts` rows of consecutive tokens."""
        wide = (cut(logits, parts) for logits in self[:2])
        whole = self.whole and self.width % parts == 0
        return Pair._make([*wide, *(spread(part, parts) for part in self[2:-2]), whole, self.fused])

    def double(self) -> Pair:
        """The same pair in float64, normalised again there."""
        return pair_of(self.theta_B_V.double(), self.t_B_V.double())


class Moments(NamedTuple):
    """log Z(α), its derivative g = E_q[δ] = KL(q‖θ) − KL(q‖t), and its curvature Var_q[δ]."""

    log_z_B: Tensor
    g_B: Tensor
    variance_B: Tensor


class Survey(NamedTuple):
    """What is measured at an α: log Z(α), g and its slope, log Z(−α), log Z(2−α), and the total variation of the two
    models."""

    log_z_B: Tensor
    g_B: Tensor
    variance_B: Tensor
    log_z_below_B: Tensor
    log_z_above_B: Tensor
    tv_B: Tensor


class Surveyed(NamedTuple):
    """A survey in this precision, NaN where that does not reach, and the α of it."""

    alpha_B: Tensor
    found: Survey


def pair_of(logits_theta_B_V: Tensor, logits_t_B_V: Tensor, fused: bool = False, whole: bool = True) -> Pair:
    """Two rows of logits. Rows with NaN, +inf or nothing but −inf are no distribution. `whole`: whether −∞ is not
    expected, which is looked into."""
    two = Logits(base_free(logits_theta_B_V), base_free(logits_t_B_V), whole, fused)
    found = normalised(two)
    if whole and bool((found.low_B == NOWHERE).any()):
        two = two._replace(whole=False)
        found = normalised(two)
    everywhere_B = torch.ones_like(found.top_theta_B, dtype=torch.bool)
    supports = (everywhere_B, everywhere_B, everywhere_B) if two.whole else supports_of(two)
    return Pair(*two[:2], *found[:6], *supports, *found[6:8], two.whole, fused)


def moments(pair: Pair, alpha_B: Tensor) -> Moments:
    """At any real α; NaN where float32 does not reach."""
    return _moments(pair, alpha_B.to(pair.dtype))


def settled_moments(pair: Pair, alpha_B: Tensor) -> Moments:
    return Moments(*_settled(_moments, pair, alpha_B))


def surveyed(pair: Pair, alpha_B: Tensor) -> Surveyed:
    """For who may have to move α once more."""
    return Surveyed(alpha_B, _survey(pair, alpha_B.to(pair.dtype)))


def survey(pair: Pair, alpha_B: Tensor, known: Surveyed | None = None) -> Survey:
    """Everything that is measured at α, in one pass; of what is known, only the rows where α is another."""
    return Survey(*_settled(_survey, pair, alpha_B, None if known is None else _renewed(pair, alpha_B, known)))


def _renewed(pair: Pair, alpha_B: Tensor, known: Surveyed) -> Survey | None:
    moved_B = known.alpha_B != alpha_B
    moved = int(moved_B.sum())
    if 2 * moved > pair.rows_count:
        return None
    if moved:
        renewed = surveyed(pair.rows(moved_B), alpha_B[moved_B]).found
        for part, new in zip(known.found, renewed, strict=True):
            part[moved_B] = new
    return known.found


def _settled(measure: Callable[[Pair, Tensor], tuple[Tensor, ...]], pair: Pair, alpha_B: Tensor,
             known: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
    """The pass, and once more in float64 for the rows that float32 does not reach."""
    found = measure(pair, alpha_B.to(pair.dtype)) if known is None else known
    beyond_B = pair.any_common_B & torch.stack(found).isnan().any(0)
    if bool(beyond_B.any()):
        for part, wide in zip(found, measure(pair.rows(beyond_B).double(), alpha_B[beyond_B].double()), strict=True):
            part[beyond_B] = wide.to(part.dtype)
    return found


@fusable
def _moments(pair: Pair, alpha_B: Tensor) -> Moments:
    base, delta = pair.path()
    return _moments_of(*_summed(base + alpha_B[:, None] * delta), delta)


def _moments_of(log_z_B: Tensor, weight_B_V: Tensor, sum_B: Tensor, delta_B_V: Tensor) -> Moments:
    first = weight_B_V * delta_B_V
    g_B = first.sum(-1) / sum_B
    return Moments(log_z_B, torch.where(log_z_B.isnan(), log_z_B, g_B), (first * delta_B_V).sum(-1) / sum_B - g_B * g_B)


@fusable
def _survey(pair: Pair, alpha_B: Tensor) -> Survey:
    base, delta = pair.path()
    log_z_B, weight, sum_B = _summed(base + alpha_B[:, None] * delta)
    if pair.fused:
        below_B, above_B, tv_B = _by_division(pair, base, delta, weight)
    else:
        below_B = _summed(base - alpha_B[:, None] * delta)[0]
        above_B = _summed(base + (2.0 - alpha_B)[:, None] * delta)[0]
        tv_B = _distance(pair)
    return Survey(*_moments_of(log_z_B, weight, sum_B, delta), below_B, above_B, tv_B)


def _by_division(pair: Pair, base_B_V: Tensor, delta_B_V: Tensor, weight_B_V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log Z(−α), log Z(2−α) and the total variation: p²/weight costs less than exponentials. What it cannot reach
    becomes NaN. A row's bits are the same whether or not its neighbours have holes."""
    p_theta, p_t = base_B_V.exp(), (base_B_V + delta_B_V).exp()
    gap = (p_theta - p_t).abs()
    beyond = weight_B_V.new_full((), torch.nan)
    if not pair.whole:
        hole = base_B_V == NOWHERE
        gap = torch.where(hole, pair.logp_theta_B_V.exp() + pair.logp_t_B_V.exp(), gap)
        beyond = torch.where(hole, 0.0, beyond)
    per_weight = torch.where(weight_B_V > _REACHABLE, weight_B_V.reciprocal(), beyond)
    below_B, above_B = (_reached((p * (p * per_weight)).sum(-1)) for p in (p_theta, p_t))
    return below_B, above_B, 0.5 * gap.sum(-1)


@fusable
def total_variation(pair: Pair) -> Tensor:
    return _distance(pair)


def _distance(pair: Pair) -> Tensor:
    distance_B: Tensor = (pair.logp_theta_B_V.exp() - pair.logp_t_B_V.exp()).abs().sum(-1)
    return 0.5 * distance_B


def _summed(exponent_B_V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log Σ exp, the weights and their sum."""
    if exponent_B_V.dtype == torch.float64:
        top_B = exponent_B_V.amax(-1)
        weight = torch.exp(exponent_B_V - top_B[:, None])
        sum_B = weight.sum(-1)
        return top_B + sum_B.log(), weight, sum_B
    weight = exponent_B_V.exp()
    sum_B = weight.sum(-1)
    return _reached(sum_B), weight, sum_B


def _reached(sum_B: Tensor) -> Tensor:
    """The logarithm, NaN where float32 does not reach."""
    log_sum_B = sum_B.log()
    return torch.where((log_sum_B > REACH) & (log_sum_B < 80.0), log_sum_B, torch.nan)
