"""What a policy is: one class in one file, with a `name` and `options`, that may choose α in place of the method.

A policy sees every token's situation and decides row by row; rows that it leaves alone keep the method's α and status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from qstar_core.config import Section
from qstar_core.mixture.geometric import Pair


class NoOptions(Section):
    """For policies that have none. Options are frozen and refuse unknown keys."""


@dataclass(frozen=True, slots=True)
class Situation:
    """`pair` is what would be mixed, `position` counts a sample's tokens from 0, `alpha` is what was chosen so far."""

    pair: Pair
    position_B: Tensor
    alpha_B: Tensor


@dataclass(frozen=True, slots=True)
class Decision:
    """`chosen`: the rows whose α is the policy's; there 0 and 1 mean the models themselves if `pure` holds."""

    alpha_B: Tensor
    chosen_B: Tensor
    pure_B: Tensor


class Policy(Protocol):
    def decide(self, at: Situation) -> Decision | None:
        """None leaves every row to the method."""
        ...


def follow(at: Situation, rows_B: Tensor, alpha: float) -> Decision:
    """One of the models, alone, on these rows."""
    return Decision(at.alpha_B.masked_fill(rows_B, alpha), rows_B, rows_B)
