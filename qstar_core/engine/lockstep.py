"""One token a round: mix what both models say, draw, and have both read it."""

from __future__ import annotations

import numpy as np

from qstar_core.engine.alone import AloneMixer
from qstar_core.engine.pair import PairRunner
from qstar_core.engine.slots import Slots
from qstar_core.engine.strategy import Drawn, Kept, told
from qstar_core.mixture.mixer import Mixer


class Lockstep:
    """All rows are ready whenever a round begins."""

    def __init__(self, models: PairRunner, mixer: Mixer | AloneMixer) -> None:
        self._models = models
        self._mixer = mixer

    def draw(self, slots: Slots) -> Drawn:
        step = self._mixer.step(slots.logits_theta_B_V, slots.logits_t_B_V, slots.key_B,
                                slots.drawn_B.to(slots.device))
        everyone = np.ones(len(slots.drawn_B), dtype=np.int64)
        return Drawn(told(step)[:, None], everyone, everyone, np.zeros_like(everyone, dtype=bool),
                     everyone.astype(bool), 0)

    def read(self, slots: Slots, kept: Kept) -> None:
        slots.drop_logits()
        if bool(slots.seated_B.any()):
            slots.logits_theta_B_V, slots.logits_t_B_V = self._models.decode(
                slots.last_B.to(slots.device), slots.prompt_theta_B + slots.drawn_B - 1,
                slots.prompt_t_B + slots.drawn_B - 1, slots.seated_B)
