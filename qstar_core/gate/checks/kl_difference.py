"""Does the method keep its promise? For `kl_symmetry` both KLs are equal at every token, unless a policy chose α."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class KlDifference:
    name = "KL difference"
    severity = GateVerdict.FAIL
    cause = "tokens without a solution (BOUNDARY) or with α clamped by alpha.min and alpha.max, or a loose " \
            "alpha.tolerance"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_kl_difference)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        columns = given.samples.columns
        if given.method != "kl_symmetry":
            return Measured(None, note=f"not a property of method {given.method}")
        if np.nansum(columns["policy_tokens"]):
            return Measured(None, note="a policy chose α in place of the method")
        return shares(columns["kl_abs_difference_mean"] * columns["tokens"], columns["tokens"],
                      given.samples.prompt_N, given.samples.id_N, self.limits(settings),
                      "mean |KL(q‖π_θ) − KL(q‖π_t)| per token")
