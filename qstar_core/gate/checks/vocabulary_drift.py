"""Do completions use other words than those of the previous version? Its most frequent words; all others as one."""

from __future__ import annotations

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.check import Limits, Measured, moved
from qstar_core.gate.checks.length_drift import comparable
from qstar_core.gate.drift import stability_index
from qstar_core.gate.version import Given
from qstar_core.records import GateVerdict

_TOLD = 3


class VocabularyPsi:
    name = "vocabulary PSI"
    severity = GateVerdict.WARN
    cause = "another kind of prompts, another teacher, or a changed template that gave the teacher another style"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_vocabulary_psi)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        sides = comparable(given)
        if isinstance(sides, str):
            return Measured(None, note=sides)
        texts, previous = sides
        now_V = texts.vocabulary_N_V.sum(axis=0)
        if not now_V.sum() or not previous.counts_V.sum():
            return Measured(None, note="no words to compare")
        return moved(texts.vocabulary_N_V, texts.prompt_N, lambda now: stability_index(now, previous.counts_V),
                     f"population stability index of words against {previous.version}; most changed: "
                     f"{', '.join(_changed(now_V, previous.counts_V, previous.words))}")


def _changed(now_V: Values, before_V: Values, words: tuple[str, ...]) -> list[str]:
    change_V = now_V / now_V.sum() - before_V / before_V.sum()
    names = (*(f"“{word[:30]}”" for word in words), "all other words")
    return [f"{names[index]} {100 * change_V[index]:+.1f} %" for index in np.argsort(-np.abs(change_V))[:_TOLD]]
