"""The exponential race: the first of V clocks with rates w is token i with probability w_i / Σw.

The law is the one of `rng.exponentials` and float64. Deciding it everywhere in float64 would be the dearest part of a
step, so a float32 pass bounds every clock from both sides, which nearly always leaves a single token that can be first;
the rows where it does not are run in float64. So the winner is the same token whatever computed the bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qstar_core.rng import Stream, coarse, exponentials

_UNIT = 2.0**-31
_LATE = 8.0
"""Above this, float32 does not tell one clock from the next."""

_MARGIN = 1.0 + 2.0**-11
"""More than float32 loses in a clock and its rate."""

_SMALLEST = 1e-30
"""Below every clock that 63 bits can make."""


def bounds(weight_B_V: Tensor, word_0_B: Tensor, word_1_B: Tensor) -> tuple[Tensor, Tensor]:
    """Per row: the smallest token that may be first, and how many may be."""
    vocab = weight_B_V.shape[-1]
    token_V = torch.arange(vocab, dtype=torch.int32, device=weight_B_V.device)
    below = -torch.log1p(-_UNIT * coarse(word_0_B, word_1_B, token_V).float())
    late = below > _LATE
    earliest = below.clamp(_SMALLEST, _LATE) / weight_B_V
    latest = torch.where(late, float("inf"), below + 2.0 * _UNIT) / weight_B_V
    possible = earliest <= (latest.amin(-1) * _MARGIN)[:, None]
    return torch.where(possible, token_V, vocab).amin(-1), possible.sum(-1, dtype=torch.int32)


def winners(first_B: Tensor, possible_B: Tensor, weights: Callable[[Tensor], Tensor], key_B: Tensor,
            position_B: Tensor, stream: Stream) -> Tensor:
    """The first token of every row. `weights(rows)` are the float64 weights of the rows that the bounds leave open.
    Rows without any weight get some token."""
    token_B = first_B.long()
    open_B = possible_B != 1
    if bool(open_B.any()):
        weight_B_V = weights(open_B)
        clocks = exponentials(key_B[open_B], position_B[open_B], stream, weight_B_V.shape[-1])
        token_B[open_B] = torch.argmin(clocks / weight_B_V, dim=-1)
    return token_B
