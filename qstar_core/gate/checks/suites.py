"""Do the files hold what they must? One check for each suite of expectations; its value counts the broken ones."""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.config import GateSettings
from qstar_core.gate.check import EXAMPLES, Limits, Measured
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict

SUITES = ("schema", "data", "diagnostics", "traces")


@dataclass(frozen=True)
class Suite:
    suite: str
    severity = GateVerdict.FAIL
    cause = "a damaged or hand-edited file, or a fault of this program: read the page in data-docs"

    @property
    def name(self) -> str:
        return f"{self.suite} suite"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=0)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        for found in given.suites:
            if found.name == self.suite:
                broken = f"; broken: {'; '.join(found.failed)}" if found.failed else ""
                return Measured(float(len(found.failed)), note=f"{found.expectations} expectations{broken}",
                                worst=tuple((row, None) for row in found.ids[:EXAMPLES]))
        return Measured(None, note="no such file in this version")
