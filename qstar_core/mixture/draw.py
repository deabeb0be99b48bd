"""One token per row from q, by one fixed map of the counters: propose from π_θ, accept with min(1, q/π_θ), else draw
from the residual (q − π_θ)+.

The law is exactly q. Because the proposal is what a drafting student would have proposed with the same counters,
speculative decoding with any draft length returns the same tokens as going one token at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, fusable
from qstar_core.mixture.race import bounds, winners
from qstar_core.mixture.target import Target
from qstar_core.rng import Stream, row_words, uniforms


class _Student(NamedTuple):
    logits_B_V: Tensor
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.logits_B_V.shape[0]


def propose(logits_B_V: Tensor, key_B: Tensor, position_B: Tensor, fused: bool = False) -> Tensor:
    """The student's own draw from its logits, as they are tempered and cut where q* is."""
    words = row_words(key_B, position_B, Stream.PROPOSAL)

    def weights(rows_B: Tensor) -> Tensor:
        return _weights(logits_B_V[rows_B].double())

    return winners(*_proposal(_Student(base_free(logits_B_V), fused), *words), weights, key_B, position_B, Stream.PROPOSAL)


def coupled_draw(target: Target, key_B: Tensor, position_B: Tensor, proposed_B: Tensor | None = None) -> Tensor:
    """A token per row, distributed as the target. `proposed`: what `propose` makes of these rows, where it is known."""
    if proposed_B is None:
        proposed_B = propose(target.pair.theta_B_V, key_B, position_B, target.fused)
    token_B = proposed_B.clone()
    seen = target.columns(token_B)
    threshold_B = (seen.log_B_V - seen.pair.logp_theta_B_V)[:, 0].double()
    rejected_B = uniforms(key_B, position_B, Stream.ACCEPT).log() >= threshold_B
    if bool(rejected_B.any()):
        token_B[rejected_B] = _from_residual(
            target.rows(rejected_B), key_B[rejected_B], position_B[rejected_B], token_B[rejected_B])
    return token_B


def _from_residual(target: Target, key_B: Tensor, position_B: Tensor, proposed_B: Tensor) -> Tensor:
    """Where rounding leaves no residual, q equals π_θ to the last bit and the proposal stands."""
    first_B, possible_B, any_left_B = _residual_race(target, *row_words(key_B, position_B, Stream.RESIDUAL))

    def weights(rows_B: Tensor) -> Tensor:
        return _residual(target.rows(rows_B)).double()

    token_B = winners(first_B, possible_B, weights, key_B, position_B, Stream.RESIDUAL)
    return torch.where(any_left_B, token_B, proposed_B)


@fusable
def _proposal(student: _Student, word_0_B: Tensor, word_1_B: Tensor) -> tuple[Tensor, Tensor]:
    return bounds(_weights(student.logits_B_V), word_0_B, word_1_B)


@fusable
def _residual_race(target: Target, word_0_B: Tensor, word_1_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    residual = _residual(target)
    return *bounds(residual, word_0_B, word_1_B), (residual > 0).any(-1)


def _weights(logits_B_V: Tensor) -> Tensor:
    """Rates of a race need no normaliser."""
    return (logits_B_V - logits_B_V.amax(-1, keepdim=True)).exp()


def _residual(target: Target) -> Tensor:
    return (target.log_B_V.exp() - target.pair.logp_theta_B_V.exp()).clamp_min(0.0)
