"""The exponential race: the first of V clocks with rates w is token i with probability w_i / Σw.

The law is the one of `rng.exponentials` and float64. Deciding it everywhere in float64 would be the dearest part of a
step, so a float32 pass bounds every clock from below. Nearly always a single token can then be first: the one whose
bound comes first, if no other bound comes before its clock. The rows where it is not so are run in float64. So the
winner is the same token whatever computed the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, parts_of, spread
from qstar_core.rng import Stream, coarse, exponential_of, exponentials, row_words, token_words

_PART = 256
"""So many tokens and their bounds are searched twice."""

_MARGIN = 1.0 + 2.0**-11
"""More than float32 loses in a clock and its rate."""


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


def first_bound(weight_B_V: Tensor, words: Words) -> Tensor:
    """No clock of a row comes before it."""
    return _bounds(weight_B_V, words).amin(-1)


def _bounds(weight_B_V: Tensor, words: Words) -> Tensor:
    """Below the clock of every token: −log(1 − u) ≥ u + u²/2 + … + u⁶/6. 63 bits make no clock below 1e-30; a weight of
    0 has its clock at infinity."""
    u = (coarse(*words).float() * 2.0**-31).clamp_min(1e-30)
    series = u * (1 + u * (1 / 2 + u * (1 / 3 + u * (1 / 4 + u * (1 / 5 + u * (1 / 6))))))
    return series * weight_B_V.reciprocal()


def race(field: Runners, weights: Callable[[Runners], Tensor], first_bound_of: Callable[[Runners, Words], Tensor],
         key_B: Tensor, position_B: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    """The first token of every row, and whether there is one. `first_bound_of` is `first_bound` of the weights, in a
    pass."""
    count, parts = field.rows_count, parts_of(field.width, _PART)
    width = field.width // parts
    field_parts = field.split(parts)
    word_0_B, word_1_B = row_words(key_B, position_B, stream)
    start_P = token_words(0, field.width, width, key_B.device)
    words = base_free((word_0_B[:, None] + start_P).flatten()), spread(word_1_B, parts)
    token_word_V = token_words(0, width, 1, key_B.device)
    bound_B_P = first_bound_of(field_parts, (*words, token_word_V)).view(count, parts)
    part_B = bound_B_P.argmin(-1)
    at_B = torch.arange(count, device=key_B.device) * parts + part_B
    near = weights(field_parts.rows(at_B))
    bound_near = _bounds(near, (words[0][at_B], words[1][at_B], token_word_V))
    place_B = bound_near.argmin(-1, keepdim=True)
    token_B = part_B * width + place_B[:, 0]
    clock_B = exponential_of(key_B, position_B, stream, token_B) / near.gather(1, place_B)[:, 0]
    limit_B = (clock_B * _MARGIN).to(near.dtype)[:, None]
    any_left_B = bound_B_P.amin(-1) < float("inf")
    alone_B = ((bound_B_P <= limit_B).sum(-1) == 1) & ((bound_near <= limit_B).sum(-1) == 1)
    open_B = ~alone_B & any_left_B
    if bool(open_B.any()):
        weight_B_V = weights(field.rows(open_B)).double()
        clocks = exponentials(key_B[open_B], position_B[open_B], stream, field.width)
        token_B[open_B] = torch.argmin(clocks / weight_B_V, dim=-1)
    return token_B, any_left_B
