"""α, the teacher's weight, per row: the registry of methods, and what is applied alike to all of them, the user's
bounds.

A method is one class (`method.AlphaMethod`), known by its line in METHODS.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_core.errors import ConfigError
from qstar_core.mixture.ess_balance import EssBalance
from qstar_core.mixture.formulas import Confidence, Entropy, Fixed
from qstar_core.mixture.geometric import Pair, Surveyed, settled_moments
from qstar_core.mixture.kl_symmetry import KLSymmetry
from qstar_core.mixture.method import AlphaMethod, AlphaOptions, AlphaStatus
from qstar_core.mixture.reverse_kl import ReverseKLSymmetry

__all__ = ["METHODS", "AlphaMethod", "AlphaOptions", "AlphaSolution", "AlphaStatus", "choose", "method_of",
           "solution_at"]

METHODS = {method.name: method for method in (Fixed, Entropy, Confidence, KLSymmetry, EssBalance, ReverseKLSymmetry)}


@dataclass(frozen=True, slots=True)
class AlphaSolution:
    """`pure`: where it holds, α = 0 and α = 1 mean the models themselves rather than the limit on the common support;
    None is nowhere. What the α is worth is measured when asked for. `known`: a survey that solving made, at this α or
    near it."""

    alpha_B: Tensor
    status_B: Tensor
    pure_B: Tensor | None
    pair: Pair
    method: AlphaMethod
    known: Surveyed | None = None

    @property
    def g_B(self) -> Tensor:
        """KL(q‖θ) − KL(q‖t), whatever the method."""
        return settled_moments(self.pair, self.alpha_B).g_B

    @property
    def residual_B(self) -> Tensor:
        """Of the method's own condition."""
        return self.method.residual(self.pair, self.alpha_B, self.g_B)

    @property
    def pure_theta_B(self) -> Tensor:
        return self._at_end(0.0)

    @property
    def pure_t_B(self) -> Tensor:
        return self._at_end(1.0)

    def _at_end(self, end: float) -> Tensor:
        nowhere_B = torch.zeros_like(self.pair.any_common_B)
        return nowhere_B if self.pure_B is None else self.pure_B & (self.alpha_B == end)


def method_of(options: AlphaOptions) -> AlphaMethod:
    try:
        return METHODS[options.method](options)
    except KeyError:
        raise ConfigError(f"alpha.method = {options.method!r} is unknown", f"use one of {', '.join(METHODS)}") from None


def choose(pair: Pair, method: AlphaMethod, options: AlphaOptions) -> AlphaSolution:
    """Solve, and clamp to the user's bounds."""
    solved_B, status_B, known = method.solve(pair, options.tolerance)
    alpha_B = solved_B.clamp(options.low, options.high)
    usable_B = status_B != AlphaStatus.NO_COMMON_SUPPORT
    status_B = status_B.masked_fill((alpha_B != solved_B) & usable_B, AlphaStatus.CLAMPED)
    pure_B = (alpha_B == 0.0) | (alpha_B == 1.0) if method.pure_ends else None
    return solution_at(pair, method, alpha_B, status_B, pure_B, known)


def solution_at(pair: Pair, method: AlphaMethod, alpha_B: Tensor, status_B: Tensor, pure_B: Tensor | None,
                known: Surveyed | None) -> AlphaSolution:
    """The solution at a given α. Models without a common token have no mixture strictly between the ends."""
    inside_B = (alpha_B > 0.0) & (alpha_B < 1.0)
    status_B = status_B.masked_fill(inside_B & ~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
    return AlphaSolution(alpha_B, status_B, pure_B, pair, method, known)
