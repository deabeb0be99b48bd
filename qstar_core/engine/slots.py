"""Where every slot stands between two rounds. Numbers are on the host, logits on the device.

The student has always read all of a row's tokens. The teacher has too where the row is `ready`; elsewhere the last
token is still to be read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.engine.sequence import Sequence


class Slots:
    """`drawn` tokens stand so far, `last` is the latest of them; `limit` is the most that the sample may have."""

    def __init__(self, count: int, vocab: int, device: torch.device) -> None:
        self.device = device
        self._count, self._vocab = count, vocab
        self.logits_theta_B_V = self.logits_t_B_V = torch.zeros(0, 0, device=device)
        self.key_B = torch.zeros(count, dtype=torch.long, device=device)
        self.seated_B = torch.zeros(count, dtype=torch.bool)
        self.ready_B = torch.zeros(count, dtype=torch.bool)
        self.drawn_B = torch.zeros(count, dtype=torch.long)
        self.limit_B = torch.zeros(count, dtype=torch.long)
        self.last_B = torch.zeros(count, dtype=torch.long)
        self.prompt_theta_B = torch.zeros(count, dtype=torch.long)
        self.prompt_t_B = torch.zeros(count, dtype=torch.long)

    def seat(self, slot: int, sequence: Sequence, logits_theta_V: Tensor, logits_t_V: Tensor) -> None:
        """A sample whose prompts both models have read."""
        if not len(self.logits_theta_B_V):
            self.logits_theta_B_V = logits_theta_V.new_zeros(self._count, self._vocab)
            self.logits_t_B_V = logits_t_V.new_zeros(self._count, self._vocab)
        self.logits_theta_B_V[slot] = logits_theta_V
        self.logits_t_B_V[slot] = logits_t_V
        self.key_B[slot] = sequence.key
        self.seated_B[slot] = self.ready_B[slot] = True
        self.drawn_B[slot] = 0
        self.limit_B[slot] = sequence.limit
        self.prompt_theta_B[slot] = len(sequence.job.pair.student_ids)
        self.prompt_t_B[slot] = len(sequence.job.pair.teacher_ids)

    def release(self, slot: int) -> None:
        self.seated_B[slot] = self.ready_B[slot] = False
        self.drawn_B[slot] = self.limit_B[slot] = self.prompt_theta_B[slot] = self.prompt_t_B[slot] = 0

    def keep(self, rows: list[int]) -> None:
        """These slots alone, in this order."""
        self._count = len(rows)
        for name in ("logits_theta_B_V", "logits_t_B_V", "key_B", "seated_B", "ready_B", "drawn_B", "limit_B", "last_B",
                     "prompt_theta_B", "prompt_t_B"):
            setattr(self, name, getattr(self, name)[rows])

    def drop_logits(self) -> None:
        """They are not needed any more once every row has its token, and make room for those that follow."""
        self.logits_theta_B_V = self.logits_t_B_V = torch.zeros(0, 0, device=self.device)

    def advance(self, slot: int, tokens: list[int], ready: bool) -> None:
        self.drawn_B[slot] += len(tokens)
        self.last_B[slot] = tokens[-1]
        self.ready_B[slot] = ready
