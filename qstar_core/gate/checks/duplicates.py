"""The share of kept rows that an earlier version has too, prompt and completion alike."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class Duplicates:
    name = "duplicates"
    severity = GateVerdict.WARN
    cause = "the source is read again and the models are so sure that they say the same; add prompts or raise " \
            "sampling.temperature"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_duplicate_share)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        if given.texts is None or not len(given.earlier):
            return Measured(None, note="no earlier version of another round")
        again_N = np.isin(given.texts.hash_N, given.earlier).astype(np.float64)
        return shares(again_N, np.ones_like(again_N), given.texts.prompt_N, given.texts.id_N, self.limits(settings),
                      "kept rows that an earlier version has too")
