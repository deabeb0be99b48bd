"""One token per row from q, by one fixed map of the counters: propose from π_θ, accept with min(1, q/π_θ), else draw
from the residual (q − π_θ)+.

The law is exactly q. Because the proposal is what a drafting student would have proposed with the same counters,
speculative decoding with any draft length returns the same tokens as going one token at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.rng import Stream, exponentials, uniforms


def propose(logp_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Tensor:
    """The student's own draw."""
    return _race(logp_B_V, key_B, position_B, Stream.PROPOSAL)


def coupled_draw(logp_B_V: Tensor, logq_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Tensor:
    """A token per row, distributed as q."""
    token_B = propose(logp_B_V, key_B, position_B)
    at = token_B[:, None]
    threshold_B = (logq_B_V.gather(1, at) - logp_B_V.gather(1, at)).squeeze(1).double()
    rejected_B = uniforms(key_B, position_B, Stream.ACCEPT).log() >= threshold_B
    if bool(rejected_B.any()):
        token_B[rejected_B] = _from_residual(
            logp_B_V[rejected_B], logq_B_V[rejected_B], key_B[rejected_B], position_B[rejected_B], token_B[rejected_B]
        )
    return token_B


def _from_residual(logp: Tensor, logq: Tensor, key: Tensor, position: Tensor, proposed: Tensor) -> Tensor:
    """Where rounding leaves no residual, q equals π_θ to the last bit and the proposal stands."""
    residual = (logq.exp() - logp.exp()).clamp_min(0.0)
    token = _race(residual.log(), key, position, Stream.RESIDUAL)
    return torch.where(residual.sum(-1) > 0, token, proposed)


def _race(logp_B_V: Tensor, key_B: Tensor, position_B: Tensor, stream: Stream) -> Tensor:
    """The exponential race: the first of V clocks with rates p is token i with probability p_i."""
    clocks = exponentials(key_B, position_B, stream, logp_B_V.shape[-1])
    return torch.argmin(clocks.log() - logp_B_V.double(), dim=-1)
