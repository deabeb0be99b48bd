"""The teacher's mean weight over all tokens; and a guard with wide limits that only warns."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given, Samples
from qstar_core.records import GateVerdict


class Alpha:
    name = "alpha"
    severity = GateVerdict.FAIL
    cause = "one model hardly speaks: a student far from its teacher, bounds or policies of alpha, or alpha.fixed"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(settings.alpha_limits.low, settings.alpha_limits.high)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        told = "mean weight of the teacher" + _told(given.samples, "clamped_tokens", "clamped by the bounds") \
            + _told(given.samples, "policy_tokens", "set by a policy")
        return _over_tokens(given, self.limits(settings), told)


class GuardAlpha:
    name = "guard: alpha"
    severity = GateVerdict.WARN
    cause = Alpha.cause

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(settings.guard_alpha.low, settings.guard_alpha.high)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return _over_tokens(given, self.limits(settings), "far from either model?")


def _over_tokens(given: Given, limits: Limits, note: str) -> Measured:
    columns = given.samples.columns
    return shares(columns["alpha_mean"] * columns["tokens"], columns["tokens"], given.samples.prompt_N,
                  given.samples.id_N, limits, note)


def _told(samples: Samples, column: str, what: str) -> str:
    share = float(np.nansum(samples.columns[column])) / max(1.0, float(np.nansum(samples.columns["tokens"])))
    return f"; {share:.1%} of tokens {what}" if share else ""
