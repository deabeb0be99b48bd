"""Are there rows at all, and enough of them? Exact: no interval."""

from __future__ import annotations

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class RowCount:
    name = "row count"
    severity = GateVerdict.FAIL
    cause = "filters that drop too much, a source that ran dry, or round.prompts set too small"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(low=settings.min_rows)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return Measured(float(given.samples.kept_N.sum()), note="kept rows")
