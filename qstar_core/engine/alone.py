"""Sampling from one model alone: its logits stand for both roles, and no α is solved.

The law is plain sampling from the model, temperature, limits and sharpening included. The counters are those of q*, so
the tokens are those that α = 0 draws with this model as the student. Of a prompt pair the student's side is read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.runner import ModelRunner
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.fused import Passes
from qstar_core.mixture.mixer import Mixer, Step
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

    def resize(self, slots: int) -> None:
        self._runner.resize(slots)

    def keep(self, rows: list[int]) -> None:
        self._runner.keep(rows)


class AloneMixer:
    """A `Mixer` of nothing: one token per row from the model, and no diagnostics."""

    def __init__(self, temperature: float, sharpen: float, support: SupportCut, passes: Passes) -> None:
        self._mixer = Mixer(AlphaOptions("fixed", 0.0), temperature, False, sharpen=sharpen, support=support,
                            passes=passes)
        self._sharpened = sharpen != 1.0

    def step(self, logits_theta_B_V: Tensor, logits_t_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Step:
        """The student's own draw is the token already, unless what is drawn from is sharper than the student."""
        if self._sharpened:
            return self._mixer.step(logits_theta_B_V, logits_theta_B_V, key_B, position_B)
        token_B = self._mixer.propose(logits_theta_B_V, key_B, position_B)
        failed_B = ~logits_theta_B_V.amax(-1).isfinite()  # of NaN, NaN
        never_B = torch.zeros_like(failed_B)
        return Step(token_B, failed_B, never_B, never_B, None)
