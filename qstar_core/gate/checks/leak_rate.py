"""The share of kept rows that speak of what only the teacher was shown."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class LeakRate:
    name = "leak rate"
    severity = GateVerdict.FAIL
    cause = "prompts.teacher does not tell the teacher to hide what it was given"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_leak_rate)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        if given.texts is None or not settings.leak_phrases:
            return Measured(None, note="no texts or no phrases to look for")
        leaks_N = given.texts.leaks_N.astype(np.float64)
        return shares(leaks_N, np.ones_like(leaks_N), given.texts.prompt_N, given.texts.id_N, self.limits(settings),
                      "kept rows that say one of gate.leak_phrases")
