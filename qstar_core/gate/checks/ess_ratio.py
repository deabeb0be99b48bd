"""Is q* as useful to the student as to the teacher? Mean ESS_θ/ESS_t over tokens that have a ratio: over all of them,
and as a guard with wide limits that only warns."""

from __future__ import annotations

from qstar_core.config import GateSettings
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class EssRatio:
    name = "ESS ratio"
    severity = GateVerdict.FAIL
    cause = "an α method that leans to one model, or models that differ much; another method or a lower " \
            "sampling.temperature moves it"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(settings.ess_ratio_limits.low, settings.ess_ratio_limits.high)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return _over_all_tokens(given, self.limits(settings), "mean ESS_θ/ESS_t over all tokens")


class GuardEssRatio:
    name = "guard: ESS ratio"
    severity = GateVerdict.WARN
    cause = EssRatio.cause

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(settings.guard_ess_ratio.low, settings.guard_ess_ratio.high)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return _over_all_tokens(given, self.limits(settings), "balanced between the models?")


def _over_all_tokens(given: Given, limits: Limits, note: str) -> Measured:
    columns = given.samples.columns
    tokens_N: Values = columns["tokens"] - columns["boundary_tokens"]
    return shares(columns["ess_ratio_mean"] * tokens_N, tokens_N, given.samples.prompt_N, given.samples.id_N, limits,
                  note)
