"""Counter-based random numbers: a pure function of (seed, prompt id, draw, position, stream) and nothing else.

`sample_key` folds seed, prompt id and draw into 64 bits once per sample. SplitMix64 spreads key, position and stream
over one number per row; a 32-bit mixer spreads that over token ids, in arithmetic that every device vectorises.
Batch, order, sharding and resume cannot change a draw, and eager, compiled and CUDA code get the same bits.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import torch
from torch import Tensor


class Stream(IntEnum):
    """Independent sequences for the decisions that one token takes."""

    PROPOSAL = 1
    ACCEPT = 2
    RESIDUAL = 3
    PROPOSAL_PART = 4
    RESIDUAL_PART = 5


def _signed(value: int, bits: int = 64) -> int:
    """The same bits as a signed integer; torch has no unsigned arithmetic and refuses constants above the largest."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)
_GOLDEN_32 = _signed(0x9E3779B1, 32)
_MIX_32_1 = _signed(0x7FEB352D, 32)
_MIX_32_2 = _signed(0x846CA68B, 32)
_SECOND_WORD = _signed(0x6A09E667, 32)
_LOW_31 = (1 << 31) - 1


def sample_key(seed: int, prompt_id: str, draw: int) -> int:
    """64 bits that name one sample."""
    digest = hashlib.blake2b(f"{seed}\x00{prompt_id}\x00{draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _shift_right(x: Tensor, by: int, bits: int = 64) -> Tensor:
    """Logical shift; torch's is arithmetic."""
    return (x >> by) & ((1 << (bits - by)) - 1)


def _finalise(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _mix_32(x: Tensor) -> Tensor:
    """A bijection of int32 whose every output bit depends on every input bit ("lowbias32")."""
    x = (x ^ _shift_right(x, 16, 32)) * _MIX_32_1
    x = (x ^ _shift_right(x, 15, 32)) * _MIX_32_2
    return x ^ _shift_right(x, 16, 32)


def _unit(bits: Tensor) -> Tensor:
    """The top 52 bits as a float64 in (0, 1): never 0, never 1. With 53, the last half would round up to 1."""
    return (_shift_right(bits, 12).double() + 0.5) * 2.0**-52


def _counter(key_B: Tensor, position_B: Tensor, stream: int) -> Tensor:
    return _finalise(_finalise(key_B + position_B * _GOLDEN) + _signed(int(stream) * _GOLDEN))


def uniforms(key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    """One float64 in (0, 1) per row."""
    return _unit(_counter(key_B, position_B, stream))


def exponentials(key_B: Tensor, position_B: Tensor, stream: int, count: int,
                 start_B: Tensor | None = None) -> Tensor:
    """One standard exponential per row and id, [B, count] float64, from 63 random bits; ids count from `start`, else
    from 0.

    `argmin(exponential / p)` draws from p. Keying by id, not by rank, keeps a draw stable when float noise moves
    probabilities a little. Small values decide, and large ones where one id has nearly all mass: both ends are taken
    from the side on which they lose no digits.
    """
    counter_B = _counter(key_B, position_B, stream)
    word_0_B, word_1_B = (counter_B & 0xFFFFFFFF).sub(1 << 31).int()[:, None], (counter_B >> 32).int()[:, None]
    id_B_N = torch.arange(count, dtype=torch.int32, device=key_B.device)[None, :]
    if start_B is not None:
        id_B_N = id_B_N + start_B[:, None].int()
    inner = _mix_32(word_0_B + id_B_N * _GOLDEN_32)
    high = (_mix_32(inner ^ word_1_B) & _LOW_31).long()
    low = _mix_32(_mix_32(inner ^ _SECOND_WORD) + word_1_B).long() & 0xFFFFFFFF
    below = (high.double() * 2.0**32 + (low.double() + 0.5)) * 2.0**-63
    above = ((_LOW_31 - high).double() * 2.0**32 + (0xFFFFFFFF - low).double() + 0.5) * 2.0**-63
    return torch.where(high < 1 << 30, -torch.log1p(-below), -above.log())
