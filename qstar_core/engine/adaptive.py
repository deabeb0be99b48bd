"""Lockstep or speculation, round by round, whichever is faster: measures what rounds cost and how many drafts stand,
and lets `gamma.GammaController` choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor

from qstar_core.engine.gamma import GammaController, RoundCost
from qstar_core.engine.lockstep import Lockstep
from qstar_core.engine.pair import SeparateRoles
from qstar_core.engine.slots import Slots
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.strategy import Drawn, Kept
from qstar_core.mixture.mixer import Mixer
from qstar_core.records import PromptPair

_WATCH = 8  # in lockstep, every so many rounds the student's proposals are compared with what was drawn
_MEASURE = 8  # on a device that has to be waited for, every so many rounds are measured


class Adaptive:
    def __init__(self, models: SeparateRoles, mixer: Mixer, device: torch.device,
                 clock: Callable[[], float] = time.perf_counter) -> None:
        self.controller = GammaController()
        self._models = _Timed(models, _waiting(device, clock))
        self._mixer = mixer
        self._lockstep = Lockstep(self._models, mixer)
        self._speculative = Speculative(self._models, mixer, 1, fixed_shapes=False)
        self._every = 1 if device.type == "cpu" else _MEASURE
        self._round = self._gamma = self._rows = 0
        self._aside = self._seconds = 0.0

    def draw(self, slots: Slots) -> Drawn:
        self._round += 1
        self._models.measures = self._round % self._every == 0
        gamma = self.controller.choose() if self._models.measures else self.controller.in_use
        begun = self._models.now()
        proposed_B = None
        if gamma == 0:
            self._speculative.catch_up(slots)
            proposed_B = self._proposed(slots)
        self._models.forget()
        self._rows = int(slots.seated_B.sum())
        prepared = self._models.now()
        if gamma == 0:
            drawn = self._lockstep.draw(slots)
        else:
            self._speculative.gamma = gamma
            drawn = self._speculative.draw(slots)
        self._gamma, self._aside, self._seconds = drawn.gamma, prepared - begun, self._models.now() - prepared
        if proposed_B is not None:
            stood_B = (torch.from_numpy(drawn.told[:, 0, 0]) == proposed_B)[slots.seated_B]
            self.controller.judged(int(stood_B.sum()), int((~stood_B).sum()))
        return drawn

    def read(self, slots: Slots, kept: Kept) -> None:
        begun = self._models.now()
        (self._speculative if self._gamma else self._lockstep).read(slots, kept)
        self.controller.judged(kept.accepted, kept.refused)
        if self._models.complete:
            total = self._seconds + self._models.now() - begun
            self.controller.observe(self._models.cost(self._gamma, self._rows, total, self._aside))

    def _proposed(self, slots: Slots) -> Tensor | None:
        """What the student alone would draw next; how often it stands is what speculation would accept."""
        if self.controller.acceptance is not None and self._round % _WATCH:
            return None
        drawn_B = slots.drawn_B.to(slots.device)
        return self._mixer.propose(slots.logits_theta_B_V, slots.key_B, drawn_B).cpu()


class _Timed:
    """Both models, and what their forwards took since `forget`, where it `measures`."""

    def __init__(self, models: SeparateRoles, now: Callable[[], float]) -> None:
        self._models = models
        self._now = now
        self.measures = True
        self.forget()

    def forget(self) -> None:
        self._student: list[float] = []
        self._teacher: list[tuple[int, float]] = []

    def now(self) -> float:
        return self._now() if self.measures else 0.0

    @property
    def complete(self) -> bool:
        return self.measures and bool(self._student) and bool(self._teacher)

    def cost(self, gamma: int, rows: int, total: float, aside: float) -> RoundCost:
        width, teacher = self._teacher[0]
        rest = total - teacher - sum(self._student)
        return RoundCost(gamma, rows, fmean(self._student), teacher, width, rest, aside)

    def prefill(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        return self._models.prefill(slot, pair)

    def copy_prompt(self, source: int, target: int, pair: PromptPair) -> None:
        self._models.copy_prompt(source, target, pair)

    def resize(self, slots: int) -> None:
        self._models.resize(slots)

    def keep(self, rows: list[int]) -> None:
        self._models.keep(rows)

    def student(self, token_B: Tensor, position_B: Tensor, real_B: Tensor) -> Tensor:
        since = self.now()
        logits = self._models.student(token_B, position_B, real_B)
        self._student.append(self.now() - since)
        return logits

    def teacher(self, token_B_T: Tensor, position_B_T: Tensor, real_B_T: Tensor) -> Tensor:
        since = self.now()
        logits = self._models.teacher(token_B_T, position_B_T, real_B_T)
        self._teacher.append((token_B_T.shape[1], self.now() - since))
        return logits

    def decode(self, token_B: Tensor, length_theta_B: Tensor, length_t_B: Tensor,
               occupied_B: Tensor) -> tuple[Tensor, Tensor]:
        logits_theta = self.student(token_B, length_theta_B, occupied_B)
        logits_t = self.teacher(token_B[:, None], length_t_B[:, None], occupied_B[:, None])
        return logits_theta, logits_t[:, -1]


def _waiting(device: torch.device, clock: Callable[[], float]) -> Callable[[], float]:
    """The time after everything that the device was given is done."""
    if device.type == "cpu":
        return clock

    def now() -> float:
        (torch.cuda if device.type == "cuda" else torch.mps).synchronize()
        return clock()

    return now
