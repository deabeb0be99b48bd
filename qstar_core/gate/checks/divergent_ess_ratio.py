"""The ESS ratio over tokens where the models differ. Over all tokens it is near 1 because the models mostly agree; this
is the figure that tells something, and it lies outside narrow limits on healthy versions, so it warns."""

from __future__ import annotations

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class DivergentEssRatio:
    name = "divergent ESS ratio"
    severity = GateVerdict.WARN
    cause = "one model is much surer than the other where they disagree; α leans to the flatter one"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(settings.divergent_ess_ratio.low, settings.divergent_ess_ratio.high)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        columns = given.samples.columns
        tokens_N = columns["divergent_tokens"]
        return shares(columns["divergent_ess_ratio_mean"] * tokens_N, tokens_N, given.samples.prompt_N,
                      given.samples.id_N, self.limits(settings),
                      "the same over tokens where the models differ (total variation above 0.05)")
