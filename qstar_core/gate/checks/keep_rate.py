"""The share of samples that passed the filters, chosen afterwards or not."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class KeepRate:
    name = "keep rate"
    severity = GateVerdict.FAIL
    cause = "a teacher that is often wrong, completions cut by sampling.max_tokens, or filters made stricter"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(low=settings.min_keep_rate)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        passed_N = given.samples.passed_N.astype(np.float64)
        return shares(passed_N, np.ones_like(passed_N), given.samples.prompt_N, given.samples.id_N,
                      self.limits(settings), "samples that passed the filters, of all")
