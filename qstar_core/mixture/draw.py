"""One token per row from q, by one fixed map of the counters: propose from π_θ, accept with min(1, q/π_θ), else draw
from the residual (q − π_θ)+.

The law is exactly q. Because the proposal is what a drafting student would have proposed with the same counters,
speculative decoding with any draft length returns the same tokens as going one token at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qstar_core.mixture.fused import base_free, cut, fusable, spread
from qstar_core.mixture.normalise import widened
from qstar_core.mixture.race import Heats, race
from qstar_core.mixture.target import Target
from qstar_core.rng import Stream, uniforms

_PROPOSAL = Heats(parts=Stream.PROPOSAL_PART, tokens=Stream.PROPOSAL)
_RESIDUAL = Heats(parts=Stream.RESIDUAL_PART, tokens=Stream.RESIDUAL)


class Student(NamedTuple):
    """The side that proposes: rates of a race need no normaliser, only the largest logit taken out."""

    logits_B_V: Tensor
    top_B: Tensor
    fused: bool

    @property
    def rows_count(self) -> int:
        return self.logits_B_V.shape[0]

    @property
    def width(self) -> int:
        return self.logits_B_V.shape[1]

    def rows(self, index_B: Tensor) -> Student:
        return Student(self.logits_B_V[index_B], self.top_B[index_B], self.fused)

    def split(self, parts: int) -> Student:
        return Student(cut(self.logits_B_V, parts), spread(self.top_B, parts), self.fused)


def propose(logits_B_V: Tensor, key_B: Tensor, position_B: Tensor, fused: bool = False) -> Tensor:
    """The student's own draw from its logits, as they are tempered and cut where q* is."""
    return _proposed(Student(base_free(logits_B_V), widened(logits_B_V.amax(-1)), fused), key_B, position_B)


def coupled_draw(target: Target, key_B: Tensor, position_B: Tensor, proposed_B: Tensor | None = None) -> Tensor:
    """A token per row, distributed as the target. `proposed`: what `propose` makes of these rows, where it is known."""
    if proposed_B is None:
        pair = target.pair
        proposed_B = _proposed(Student(pair.theta_B_V, pair.top_theta_B, pair.fused), key_B, position_B)
    token_B = proposed_B.clone()
    seen = target.columns(token_B)
    threshold_B = (seen.log_B_V - seen.pair.logp_theta_B_V)[:, 0].double()
    rejected_B = uniforms(key_B, position_B, Stream.ACCEPT).log() >= threshold_B
    if bool(rejected_B.any()):
        token_B[rejected_B] = _from_residual(
            target.rows(rejected_B), key_B[rejected_B], position_B[rejected_B], token_B[rejected_B])
    return token_B


def _proposed(student: Student, key_B: Tensor, position_B: Tensor) -> Tensor:
    return race(student, _weights, _mass, key_B, position_B, _PROPOSAL)[0]


def _from_residual(target: Target, key_B: Tensor, position_B: Tensor, proposed_B: Tensor) -> Tensor:
    """Where rounding leaves no residual, q equals π_θ to the last bit and the proposal stands."""
    token_B, any_left_B = race(target, _residual, _residual_mass, key_B, position_B, _RESIDUAL)
    return torch.where(any_left_B, token_B, proposed_B)


@fusable
def _mass(student: Student) -> Tensor:
    return _weights(student).sum(-1)


@fusable
def _residual_mass(target: Target) -> Tensor:
    return _residual(target).sum(-1)


def _weights(student: Student) -> Tensor:
    return (student.logits_B_V.to(student.top_B.dtype) - student.top_B[:, None]).exp()


def _residual(target: Target) -> Tensor:
    return (target.log_B_V.exp() - target.pair.logp_theta_B_V.exp()).clamp_min(0.0)
