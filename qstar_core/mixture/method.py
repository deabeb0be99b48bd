"""What an α method is: a small class with a `name` that chooses the teacher's weight, row by row, and a status
that says what the number is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from qstar_core.mixture.geometric import Pair, Surveyed


class AlphaStatus(IntEnum):
    OK = 0
    BOUNDARY = 1  # supports differ and the condition has no root inside: α is the limit
    NO_COMMON_SUPPORT = 2  # no token is possible for both: there is no mixture
    CLAMPED = 3  # the user's bounds moved α
    NOT_CONVERGED = 4  # the method's own residual stayed above the tolerance
    POLICY = 5  # a policy chose α instead of the method


@dataclass(frozen=True, slots=True)
class AlphaOptions:
    """What `choose` needs besides the method: `fixed` for the fixed method, the user's bounds, and the tolerance."""

    method: str = "kl_symmetry"
    fixed: float = 0.5
    low: float = 0.0
    high: float = 1.0
    tolerance: float = 1e-5


class Solved(NamedTuple):
    """α in [0, 1] and an AlphaStatus, per row; and the survey at an α near it, where solving made one."""

    alpha_B: Tensor
    status_B: Tensor
    known: Surveyed | None = None


class AlphaMethod(Protocol):
    """`pure_ends`: α = 0 and α = 1 mean the models themselves rather than the limit on the common support."""

    name: str
    pure_ends: bool

    def solve(self, pair: Pair, tolerance: float) -> Solved: ...

    def residual(self, pair: Pair, alpha_B: Tensor, g_B: Tensor) -> Tensor:
        """How far α is from the method's own condition; `g` is KL(q‖θ) − KL(q‖t), for methods that solve none.
        ±∞: supports differ so that no α meets it."""
        ...


def all_ok(pair: Pair) -> Tensor:
    return torch.full(pair.any_common_B.shape, AlphaStatus.OK, dtype=torch.int32, device=pair.any_common_B.device)


def supported(pair: Pair) -> Tensor:
    return all_ok(pair).masked_fill(~pair.any_common_B, AlphaStatus.NO_COMMON_SUPPORT)
