"""Sampling from one model alone: its logits stand for both roles, and no α is solved.

The law is plain sampling from the model, temperature, limits and sharpening included. The counters are those of q*, so
the tokens are those that α = 0 draws with this model as the student. Of a prompt pair the student's side is read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.runner import ModelRunner
from qstar_core.mixture.draw import coupled_draw, propose
from qstar_core.mixture.mixer import Step
from qstar_core.mixture.support import SupportCut
from qstar_core.records import PromptPair


class AloneRunner:
    """A `PairRunner` whose two sets of logits are one."""

    def __init__(self, model: LoadedModel, slots: int, context: int, vocab: int, fixed_length: bool) -> None:
        self._runner = ModelRunner(model, slots, context, vocab, fixed_length)

    def prefill(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        logits = self._runner.prefill(slot, pair.student_ids)
        return logits, logits

    def copy_prompt(self, source: int, target: int, pair: PromptPair) -> None:
        self._runner.copy_prompt(source, target, len(pair.student_ids))

    def decode(self, token_B: Tensor, length_theta_B: Tensor, length_t_B: Tensor,
               occupied_B: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._runner.decode(token_B, length_theta_B, occupied_B)
        return logits, logits


class AloneMixer:
    """A `Mixer` of nothing: one token per row from the model, and no diagnostics."""

    def __init__(self, temperature: float, sharpen: float, support: SupportCut) -> None:
        self._temperature = temperature
        self._sharpen = sharpen
        self._support = support if support.cuts else None

    def step(self, logits_theta_B_V: Tensor, logits_t_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Step:
        logits_B_V = logits_theta_B_V.float()
        if self._temperature != 1.0:
            logits_B_V = logits_B_V / self._temperature
        if self._support is not None:
            logits_B_V, _ = self._support(logits_B_V, logits_B_V)
        logp_B_V = torch.log_softmax(logits_B_V, dim=-1)
        if self._sharpen == 1.0:
            token_B = propose(logp_B_V, key_B, position_B)
        else:
            token_B = coupled_draw(logp_B_V, torch.log_softmax(self._sharpen * logp_B_V, dim=-1), key_B, position_B)
        failed_B = logp_B_V.isnan().any(-1)
        never_B = torch.zeros_like(failed_B)
        return Step(token_B, failed_B, never_B, never_B, None)
