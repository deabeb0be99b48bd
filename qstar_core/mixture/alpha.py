"""α, the teacher's weight, per row: how each method chooses it, and an honest status.

A method is a small class with a `name` and a `solve`, known by its line in METHODS. Bounds and the residual are applied
alike to all of them by `choose`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from qstar_core.errors import ConfigError
from qstar_core.mixture.geometric import Pair, moments
from qstar_core.mixture.newton import solve_kl_symmetry


class AlphaStatus(IntEnum):
    OK = 0
    BOUNDARY = 1  # supports differ and log Z is smallest at an end: α is that end, in the limit
    NO_COMMON_SUPPORT = 2  # no token is possible for both: there is no mixture
    CLAMPED = 3  # the user's bounds moved α
    NOT_CONVERGED = 4  # the residual stayed above the tolerance


@dataclass(frozen=True, slots=True)
class AlphaSolution:
    """`residual` is KL(q‖θ) − KL(q‖t) at the α returned, whatever the method. `pure_ends`: α = 0 and α = 1 mean the
    models themselves rather than the limit on the common support."""

    alpha_B: Tensor
    residual_B: Tensor
    status_B: Tensor
    pure_ends: bool


class AlphaMethod(Protocol):
    name: str
    pure_ends: bool

    def solve(self, pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
        """α in [0, 1] and an AlphaStatus, per row."""
        ...


@dataclass(frozen=True, slots=True)
class AlphaOptions:
    """What `choose` needs besides the method: `fixed` for the fixed method, the user's bounds, and the tolerance."""

    method: str = "kl_symmetry"
    fixed: float = 0.5
    low: float = 0.0
    high: float = 1.0
    tolerance: float = 1e-5


class Fixed:
    """The same α everywhere."""

    name = "fixed"
    pure_ends = True

    def __init__(self, options: AlphaOptions) -> None:
        self.value = options.fixed

    def solve(self, pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
        status_B = _all_ok(pair)
        if 0.0 < self.value < 1.0:
            status_B = status_B.masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
        return torch.full(status_B.shape, self.value, dtype=torch.float64, device=status_B.device), status_B


class Entropy:
    """α = H_t / (H_θ + H_t): leans to the less sure model, and approximates KL symmetry."""

    name = "entropy"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
        return _entropy_share(pair, of=pair.logp_t_B_V), _supported(pair)


class Confidence:
    """α = H_θ / (H_θ + H_t): trusts the surer model."""

    name = "confidence"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
        return _entropy_share(pair, of=pair.logp_theta_B_V), _supported(pair)


class KLSymmetry:
    """KL(q‖θ) = KL(q‖t): the minimiser of the convex log Z(α), the Chernoff point."""

    name = "kl_symmetry"
    pure_ends = False

    def __init__(self, options: AlphaOptions) -> None:
        del options

    def solve(self, pair: Pair, tolerance: float) -> tuple[Tensor, Tensor]:
        alpha_B, at_end_B, solved_B = solve_kl_symmetry(pair, tolerance)
        status_B = _all_ok(pair).masked_fill(~solved_B, AlphaStatus.NOT_CONVERGED)
        status_B = status_B.masked_fill(at_end_B, AlphaStatus.BOUNDARY)
        return alpha_B, status_B.masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)


METHODS = {method.name: method for method in (Fixed, Entropy, Confidence, KLSymmetry)}


def method_of(options: AlphaOptions) -> AlphaMethod:
    try:
        return METHODS[options.method](options)
    except KeyError:
        raise ConfigError(f"alpha.method = {options.method!r} is unknown", f"use one of {', '.join(METHODS)}") from None


def choose(pair: Pair, method: AlphaMethod, options: AlphaOptions) -> AlphaSolution:
    """Solve, clamp to the user's bounds, and measure the residual at the α that is used."""
    solved_B, status_B = method.solve(pair, options.tolerance)
    alpha_B = solved_B.clamp(options.low, options.high)
    usable_B = status_B != AlphaStatus.NO_COMMON_SUPPORT
    status_B = status_B.masked_fill((alpha_B != solved_B) & usable_B, AlphaStatus.CLAMPED)
    inside_B = (alpha_B > 0.0) & (alpha_B < 1.0)
    status_B = status_B.masked_fill(inside_B & ~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
    return AlphaSolution(alpha_B, moments(pair, alpha_B).g_B, status_B, method.pure_ends)


def entropy(logp_B_V: Tensor) -> Tensor:
    """Shannon entropy in nats; tokens of probability 0 add nothing."""
    summands: Tensor = torch.special.entr(logp_B_V.exp())
    return summands.sum(-1)


def _entropy_share(pair: Pair, of: Tensor) -> Tensor:
    """The share of one model's entropy in the sum of both; ½ where both are sure."""
    part_B = entropy(of).double()
    both_B = entropy(pair.logp_theta_B_V).double() + entropy(pair.logp_t_B_V).double()
    return torch.where(both_B > 0, part_B / both_B, 0.5).clamp(0.0, 1.0)


def _all_ok(pair: Pair) -> Tensor:
    return torch.full(pair.any_common_B.shape, AlphaStatus.OK, dtype=torch.int32, device=pair.any_common_B.device)


def _supported(pair: Pair) -> Tensor:
    return _all_ok(pair).masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
