"""The share of hedging words among all words of the kept rows."""

from __future__ import annotations

from qstar_core.config import GateSettings
from qstar_core.gate.check import Limits, Measured, shares
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict


class HedgingRate:
    name = "hedging rate"
    severity = GateVerdict.WARN
    cause = "the student's unsure manner shows through: a low α, a high sampling.temperature, or a teacher without hint"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_hedging_rate)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        texts = given.texts
        if texts is None or not settings.hedging_words:
            return Measured(None, note="no texts or no words to look for")
        return shares(texts.hedges_N, texts.words_N, texts.prompt_N, texts.id_N, self.limits(settings),
                      "gate.hedging_words among the words of kept rows")
