"""Counter-based random numbers: a pure function of (seed, prompt id, draw, position, stream) and nothing else.

`sample_key` folds seed, prompt id and draw into 64 bits once per sample. SplitMix64 spreads key, position and stream
over one number per row; a 32-bit mixer spreads that over the token ids, in arithmetic that every device vectorises.
Batch, order, sharding and resume cannot change a draw, and eager, compiled and CUDA code get the same bits.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import torch
from torch import Tensor


class Stream(IntEnum):
    """Independent sequences for the three decisions that one token takes."""

    PROPOSAL = 1
    ACCEPT = 2
    RESIDUAL = 3


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


def _counter(key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    return _finalise(_finalise(key_B + position_B * _GOLDEN) + _signed(int(stream) * _GOLDEN))


def uniforms(key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    """One float64 in (0, 1) per row."""
    return _unit(_counter(key_B, position_B, stream))


def row_words(key_B: Tensor, position_B: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    """What a row's tokens are keyed by: the 64 bits of its counter as two int32."""
    counter_B = _counter(key_B, position_B, stream)
    low_B = (counter_B & 0xFFFFFFFF).sub(1 << 31)
    return low_B.int(), (counter_B >> 32).int()


def token_words(start: int, stop: int, step: int, device: torch.device) -> Tensor:
    """What tokens add to the first word of their row. Adding that of the token where a part of a row begins makes it
    the first word of the part."""
    return torch.arange(start, stop, step, dtype=torch.int32, device=device) * _GOLDEN_32


def _spread(word_0_B: Tensor, word_1_B: Tensor, token_word_V: Tensor) -> tuple[Tensor, Tensor]:
    inner = _mix_32(word_0_B[:, None] + token_word_V)
    return inner, _mix_32(inner ^ word_1_B[:, None])


def coarse(word_0_B: Tensor, word_1_B: Tensor, token_word_V: Tensor) -> Tensor:
    """The first 31 bits of each token's uniform, as an int32: `coarse · 2^-31` ≤ uniform < `(coarse + 1) · 2^-31`."""
    return _spread(word_0_B, word_1_B, token_word_V)[1] & _LOW_31


def exponentials(key_B: Tensor, position_B: Tensor, stream: Stream, vocab: int) -> Tensor:
    """One standard exponential per row and token id, [B, vocab] float64, from 63 random bits.

    `argmin(exponential / p)` draws from p. Keying by token id, not by rank, keeps a draw stable when float noise moves
    probabilities a little. Small values decide, and large ones where one token has nearly all mass: both ends are
    taken from the side on which they lose no digits.
    """
    return _exponentials(key_B, position_B, stream, token_words(0, vocab, 1, key_B.device))


def exponential_of(key_B: Tensor, position_B: Tensor, stream: Stream, token_B: Tensor) -> Tensor:
    """That of one token per row, [B] float64."""
    return _exponentials(key_B, position_B, stream, token_B[:, None].int() * _GOLDEN_32)[:, 0]


def _exponentials(key_B: Tensor, position_B: Tensor, stream: Stream, token_word: Tensor) -> Tensor:
    word_0_B, word_1_B = row_words(key_B, position_B, stream)
    inner, first = _spread(word_0_B, word_1_B, token_word)
    high = (first & _LOW_31).long()
    low = _mix_32(_mix_32(inner ^ _SECOND_WORD) + word_1_B[:, None]).long() & 0xFFFFFFFF
    below = (high.double() * 2.0**32 + (low.double() + 0.5)) * 2.0**-63
    above = ((_LOW_31 - high).double() * 2.0**32 + (0xFFFFFFFF - low).double() + 0.5) * 2.0**-63
    return torch.where(high < 1 << 30, -torch.log1p(-below), -above.log())
