"""The share of samples that ended in an error of the engine."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class FailedShare:
    name = "failed share"
    severity = GateVerdict.FAIL
    cause = "NaN logits (a damaged checkpoint, or engine.dtype float16), or prompts longer than the context"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_failed_share)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        failed_N = given.samples.failed_N.astype(np.float64)
        return shares(failed_N, np.ones_like(failed_N), given.samples.prompt_N, given.samples.id_N,
                      self.limits(settings), "samples that ended in an error")
