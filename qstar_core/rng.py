"""Counter-based random numbers: a pure function of (seed, prompt id, draw, position, stream) and nothing else.

`sample_key` folds seed, prompt id and draw into 64 bits once per sample; `exponentials` then spreads key, position,
stream and token id with the SplitMix64 finaliser. Batch, order, sharding and resume cannot change a draw.
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


def _signed(value: int) -> int:
    """The same 64 bits as a signed integer; torch has no unsigned arithmetic and refuses constants above 2^63."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def sample_key(seed: int, prompt_id: str, draw: int) -> int:
    """64 bits that name one sample."""
    digest = hashlib.blake2b(f"{seed}\x00{prompt_id}\x00{draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift; torch's is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _finalise(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _unit(bits: Tensor) -> Tensor:
    """The top 52 bits as a float64 in (0, 1): never 0, never 1. With 53, the last half would round up to 1."""
    return (_shift_right(bits, 12).double() + 0.5) * 2.0**-52


def _counter(key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    return _finalise(_finalise(key_B + position_B * _GOLDEN) + _signed(int(stream) * _GOLDEN))


def uniforms(key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    """One float64 in (0, 1) per row."""
    return _unit(_counter(key_B, position_B, stream))


def exponentials(key_B: Tensor, position_B: Tensor, stream: Stream, vocab: int) -> Tensor:
    """One standard exponential per row and token id, [B, vocab] float64.

    `argmin(exponential / p)` draws from p. Keying by token id, not by rank, keeps a draw stable when float noise moves
    probabilities a little. Small values decide, so `-log1p(-u)` keeps their full precision.
    """
    token_V = torch.arange(1, vocab + 1, dtype=torch.int64, device=key_B.device) * _GOLDEN
    base_B = _counter(key_B, position_B, stream)
    return -torch.log1p(-_unit(_finalise(base_B[:, None] + token_V[None, :])))
