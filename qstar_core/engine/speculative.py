"""Up to γ tokens and a head start for one forward of the teacher: the student drafts, the teacher reads the draft in
one block, and the mixture judges every position of it.

A draft is the token that the mixture itself would propose there. What the mixture draws instead is the correction, and
the first one ends the row's round. After a round without one the teacher has read everything already: the logits that
follow stay, the next round's first token is drawn from them at once, and no forward was in vain.

A block is [last token, draft 1 … draft γ]; rows whose teacher has read the last token leave it out. Rolling back is
going on from an earlier position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qstar_core.engine.pair import SeparateRoles
from qstar_core.engine.slots import Slots
from qstar_core.engine.strategy import Drawn, Kept, told
from qstar_core.mixture.mixer import Mixer, Step


@dataclass(frozen=True, slots=True)
class _Mixed:
    """What was mixed: the step's rows are the entries of `place`, column by column; `wanted` are those that mean
    something. Both on the host."""

    place_B_T: Tensor
    wanted_B_T: Tensor
    step: Step


class Speculative:
    """With `fixed_shapes` every forward and every mixing has the same shape, whatever the rows need."""

    def __init__(self, models: SeparateRoles, mixer: Mixer, gamma: int, fixed_shapes: bool) -> None:
        self._models = models
        self._mixer = mixer
        self._fixed_shapes = fixed_shapes
        self.gamma = gamma

    def draw(self, slots: Slots) -> Drawn:
        gamma = self.gamma
        if not self._fixed_shapes:
            gamma = min(gamma, int((slots.limit_B - slots.drawn_B)[slots.seated_B].max()))
        drawn_B = slots.drawn_B.to(slots.device)
        token_B, certain = self._first(slots, drawn_B)
        tokens, logits_theta = [token_B], [slots.logits_theta_B_V]
        for ahead in range(1, gamma):
            real_B = slots.seated_B & (slots.drawn_B + ahead < slots.limit_B)
            position_B = slots.prompt_theta_B + slots.drawn_B + ahead - 1
            logits_theta.append(self._models.student(tokens[-1], position_B, real_B))
            tokens.append(self._mixer.propose(logits_theta[-1], slots.key_B, drawn_B + ahead))
        logits_t_B_T_V = self._teacher_reads(slots, tokens)
        judged = self._judge(slots, drawn_B, tokens, logits_theta, logits_t_B_T_V)
        slots.logits_t_B_V = logits_t_B_T_V[:, -1].clone()
        return _drawn(slots, torch.stack(tokens, dim=1), certain, judged)

    def read(self, slots: Slots, kept: Kept) -> None:
        """The student reads the last token; the teacher does with the next block."""
        if bool(slots.seated_B.any()):
            slots.logits_theta_B_V = self._models.student(slots.last_B.to(slots.device),
                                                          slots.prompt_theta_B + slots.drawn_B - 1, slots.seated_B)

    def catch_up(self, slots: Slots) -> None:
        """Make every row ready: the teacher reads the last tokens that it has not read."""
        behind_B = slots.seated_B & ~slots.ready_B
        if not bool(behind_B.any()):
            return
        position_B = slots.prompt_t_B + slots.drawn_B - 1
        logits_t_B_T_V = self._models.teacher(slots.last_B[:, None].to(slots.device), position_B[:, None],
                                              behind_B[:, None])
        slots.logits_t_B_V = torch.where(behind_B.to(slots.device)[:, None], logits_t_B_T_V[:, 0],
                                         slots.logits_t_B_V)
        slots.ready_B = slots.ready_B | behind_B

    def _first(self, slots: Slots, drawn_B: Tensor) -> tuple[Tensor, _Mixed | None]:
        """The round's first token: the mixture's own where the row is ready, a draft elsewhere."""
        ready_B = slots.seated_B & slots.ready_B
        mixed_B, drafted_B = (torch.ones_like(ready_B),) * 2 if self._fixed_shapes else (ready_B, ~ready_B)
        token_B = slots.last_B.to(slots.device, copy=True)
        if bool(drafted_B.any()):
            rows = drafted_B.nonzero().flatten().to(slots.device)
            token_B[rows] = self._mixer.propose(slots.logits_theta_B_V[rows], slots.key_B[rows], drawn_B[rows])
        if not bool(mixed_B.any()):
            return token_B, None
        rows = mixed_B.nonzero().flatten().to(slots.device)
        step = self._mixer.step(slots.logits_theta_B_V[rows], slots.logits_t_B_V[rows], slots.key_B[rows],
                                drawn_B[rows])
        token_B[rows] = torch.where(ready_B.to(slots.device)[rows], step.token_B, token_B[rows])
        return token_B, _Mixed(mixed_B[:, None], ready_B[:, None], step)

    def _teacher_reads(self, slots: Slots, tokens: list[Tensor]) -> Tensor:
        """The teacher's logits after every token of the block, [B, T, V]."""
        behind_B = slots.seated_B & ~slots.ready_B
        ahead_T = torch.arange(len(tokens) + 1)
        real_B_T = slots.seated_B[:, None] & (slots.drawn_B[:, None] + ahead_T < slots.limit_B[:, None])
        real_B_T[:, 0] = behind_B
        position_B_T = (slots.prompt_t_B + slots.drawn_B - 1)[:, None] + ahead_T
        token_B_T = torch.stack([slots.last_B.to(slots.device), *tokens], dim=1)
        since = 0 if self._fixed_shapes or bool(behind_B.any()) else 1
        return self._models.teacher(token_B_T[:, since:], position_B_T[:, since:], real_B_T[:, since:])

    def _judge(self, slots: Slots, drawn_B: Tensor, tokens: list[Tensor], logits_theta: list[Tensor],
               logits_t_B_T_V: Tensor) -> _Mixed | None:
        """Mix every draft that may stand; with fixed shapes every draft."""
        gamma = len(logits_theta)
        wanted_B_T = _to_judge(slots, gamma)
        place_B_T = torch.ones_like(wanted_B_T) if self._fixed_shapes else wanted_B_T
        if not bool(place_B_T.any()):
            return None
        ahead, row = (index.to(slots.device) for index in place_B_T.T.nonzero(as_tuple=True))
        theta = torch.cat([logits[row[ahead == at]] for at, logits in enumerate(logits_theta)])
        before_the_first = logits_t_B_T_V.shape[1] - gamma - 1  # −1 where the block begins with the first draft
        step = self._mixer.step(theta, logits_t_B_T_V[row, ahead + before_the_first], slots.key_B[row],
                                drawn_B[row] + ahead, torch.stack(tokens)[ahead, row])
        return _Mixed(place_B_T, wanted_B_T, step)


def _to_judge(slots: Slots, gamma: int) -> Tensor:
    """[B, γ]: the drafts that the mixture has to judge, on the host."""
    ahead_T = torch.arange(gamma)
    place_B_T = slots.seated_B[:, None] & (slots.drawn_B[:, None] + ahead_T < slots.limit_B[:, None])
    place_B_T[:, 0] &= ~slots.ready_B
    return place_B_T


def _drawn(slots: Slots, draft_B_T: Tensor, certain: _Mixed | None, judged: _Mixed | None) -> Drawn:
    """Line up what was mixed, row by row, and find where every row's round ends."""
    drafts = draft_B_T.cpu().numpy()
    count, gamma = drafts.shape
    known = np.zeros((count, gamma), dtype=bool)
    rows = np.zeros((count, gamma, 0))
    for mixed in (certain, judged):
        if mixed is not None:
            ahead, row = (index.numpy() for index in mixed.place_B_T.T.nonzero(as_tuple=True))
            means = mixed.wanted_B_T.numpy()[row, ahead]
            values = told(mixed.step)[means]
            rows = rows if rows.shape[2] else np.zeros((count, gamma, values.shape[1]))
            rows[row[means], ahead[means]] = values
            known[row[means], ahead[means]] = True
    agreed = np.cumprod(known & (rows[:, :, 0] == drafts), axis=1).sum(1)
    all_agreed = agreed == gamma
    corrected = ~all_agreed & np.take_along_axis(known, np.minimum(agreed, gamma - 1)[:, None], axis=1)[:, 0]
    ready = (slots.seated_B & slots.ready_B).numpy().astype(np.int64)
    return Drawn(rows, agreed + corrected, ready, corrected, all_agreed, gamma)
