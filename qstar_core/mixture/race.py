"""The exponential race: the first of V clocks with rates w is token i with probability w_i / Σw.

The law is the one of `rng.exponentials` and float64. Deciding it everywhere in float64 would be the dearest part of a
step, so a float32 pass bounds every clock from both sides, which nearly always leaves a single token that can be first;
the rows where it does not are run in float64. So the winner is the same token whatever computed the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, spread
from qstar_core.rng import Stream, coarse, exponentials, row_words, token_words

_MARGIN = 1.0 + 2.0**-11
"""More than float32 loses in a clock and its rate."""

_NARROW, _WIDE = 256, 4096


class Field(Protocol):
    """Who runs: rows of something over tokens, that can be picked and cut into parts."""

    @property
    def rows_count(self) -> int: ...

    @property
    def width(self) -> int: ...

    def rows(self, index_B: Tensor) -> Self: ...

    def split(self, parts: int) -> Self: ...


Words = tuple[Tensor, Tensor, Tensor]
Runners = TypeVar("Runners", bound=Field)


def bounds(weight_B_V: Tensor, words: Words) -> tuple[Tensor, Tensor]:
    """No clock of a row comes before the first bound, and its first one not after the second."""
    earliest, latest = _clock(weight_B_V, words)
    return earliest.amin(-1), latest.amin(-1)


def _clock(weight_B_V: Tensor, words: Words) -> tuple[Tensor, Tensor]:
    """Around the clock of every token. Float32 does not tell clocks above 8 apart, and 63 bits make none below 1e-30;
    a weight of 0 has both bounds at infinity."""
    below = -torch.log1p(coarse(*words).float() * -(2.0**-31))
    rate = weight_B_V.reciprocal()
    return below.clamp(1e-30, 8.0) * rate, torch.where(below > 8.0, float("inf"), below + 2.0**-30) * rate


def race(field: Runners, weights: Callable[[Runners], Tensor],
         bounds_of: Callable[[Runners, Words], tuple[Tensor, Tensor]], key_B: Tensor, position_B: Tensor,
         stream: Stream) -> tuple[Tensor, Tensor]:
    """The first token of every row, and whether there is one. `bounds_of` is `bounds` of the weights, in a pass."""
    count, parts = field.rows_count, _parts(field.width)
    width = field.width // parts
    field_parts = field.split(parts)
    word_0_B, word_1_B = row_words(key_B, position_B, stream)
    start_P = token_words(0, field.width, width, key_B.device)
    words = base_free((word_0_B[:, None] + start_P).flatten()), spread(word_1_B, parts)
    token_word_V = token_words(0, width, 1, key_B.device)
    earliest_B_P, latest_B_P = (bound.view(count, parts) for bound in bounds_of(field_parts, (*words, token_word_V)))
    limit_B = latest_B_P.amin(-1, keepdim=True) * _MARGIN
    part_B = earliest_B_P.argmin(-1)
    at_B = torch.arange(count, device=key_B.device) * parts + part_B
    near = weights(field_parts.rows(at_B))
    possible = _clock(near, (words[0][at_B], words[1][at_B], token_word_V))[0] <= limit_B
    token_B = part_B * width + possible.int().argmax(-1)
    open_B = ((earliest_B_P <= limit_B).sum(-1) != 1) | (possible.sum(-1) != 1)
    if bool(open_B.any()):
        weight_B_V = weights(field.rows(open_B)).double()
        clocks = exponentials(key_B[open_B], position_B[open_B], stream, field.width)
        token_B[open_B] = torch.argmin(clocks / weight_B_V, dim=-1)
    return token_B, earliest_B_P.amin(-1) < float("inf")


@cache
def _parts(width: int) -> int:
    """Into how many equal parts a row is cut, so that its winner is looked for in a small one; 1 where none fit."""
    fitting = (size for size in range(_NARROW, min(_WIDE, width) + 1) if width % size == 0)
    return width // next(fitting, width)
