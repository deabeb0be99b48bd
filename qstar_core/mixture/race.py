"""The exponential race: the first of several clocks with rates w is number i with probability w_i / Σw.

A row is cut into parts. The parts run first, each with the sum of its weights as rate, then the tokens of the part that
was first. The law is that of one race of all tokens, and a row has as many clocks as parts and tokens of one part: the
vocabulary is summed over, and no random numbers are made for most of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, fusable, parts_of
from qstar_core.rng import Stream, exponentials

_PART = 256
"""About the square root of a vocabulary: as many parts as tokens in one."""

_WHOLE = 4096
"""A row so narrow may run in one heat."""


class Heats(NamedTuple):
    """The random numbers of the two."""

    parts: Stream
    tokens: Stream


class Heat(NamedTuple):
    """Rates of clocks that are counted from `start`."""

    rate_B_N: Tensor
    start_B: Tensor
    key_B: Tensor
    position_B: Tensor
    stream: int
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.rate_B_N.shape[0]


class Field(Protocol):
    """Who runs: rows of something over tokens, that can be picked and cut into parts."""

    @property
    def rows_count(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def fused(self) -> bool: ...

    def rows(self, index_B: Tensor) -> Self: ...

    def split(self, parts: int) -> Self: ...


Runners = TypeVar("Runners", bound=Field)


def parts_in(width: int) -> int:
    """Equal ones where there are any, of a wide row; else with a last one that is narrower."""
    equal = parts_of(width, _PART)
    return equal if equal > 1 or width <= _WHOLE else -(-width // _PART)


def race(field: Runners, weights: Callable[[Runners], Tensor], mass: Callable[[Runners], Tensor], key_B: Tensor,
         position_B: Tensor, heats: Heats) -> tuple[Tensor, Tensor]:
    """The first token of every row, and whether there is one. `mass` is the sum of the weights of a row, in a pass."""
    count, parts = field.rows_count, parts_in(field.width)
    width = -(-field.width // parts)
    part_B = torch.zeros_like(key_B)
    if parts > 1:
        field = field.split(parts)
        mass_B_P = base_free(mass(field).view(count, parts))
        part_B = _first(Heat(mass_B_P, part_B, key_B, position_B, heats.parts, field.fused))
        field = field.rows(torch.arange(count, device=key_B.device) * parts + part_B)
    weight_B_V, start_B = weights(field), part_B * width
    token_B = start_B + _first(Heat(weight_B_V, start_B, key_B, position_B, heats.tokens, field.fused))
    return token_B, (weight_B_V > 0).any(-1)


@partial(fusable, recompute=False)
def _first(heat: Heat) -> Tensor:
    """The clock that is first of each row."""
    clock_B_N = exponentials(heat.key_B, heat.position_B, heat.stream, heat.rate_B_N.shape[1], heat.start_B)
    return torch.argmin(clock_B_N / heat.rate_B_N.double(), dim=-1)
