"""Have completions become longer or shorter than those of the previous version?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.check import Limits, Measured, moved
from qstar_core.gate.drift import edges, kolmogorov_smirnov, one_hot, stability_index
from qstar_core.gate.version import Given, Previous, Texts
from qstar_core.records import GateVerdict

FEWEST = 50  # rows on either side; with less, drift cannot be told from chance
_BINS, _STEPS = 10, 200


class LengthPsi:
    name = "length PSI"
    severity = GateVerdict.WARN
    cause = "another student, teacher or source, a changed sampling.temperature or max_tokens, or other filters"

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_length_psi)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return _drift(given, stability_index, _BINS, "population stability index")


class LengthKs:
    name = "length KS"
    severity = GateVerdict.WARN
    cause = LengthPsi.cause

    def limits(self, settings: GateSettings) -> Limits:
        return Limits(high=settings.max_length_ks)

    def measure(self, given: Given, settings: GateSettings) -> Measured:
        return _drift(given, kolmogorov_smirnov, _STEPS, "Kolmogorov–Smirnov distance")


def comparable(given: Given) -> tuple[Texts, Previous] | str:
    """Both sides, or why there is nothing to compare."""
    texts, previous = given.texts, given.previous
    if texts is None or previous is None:
        return "no previous version of another round"
    if min(len(texts.id_N), len(previous.tokens_N)) < FEWEST:
        return f"fewer than {FEWEST} rows to compare"
    return texts, previous


def _drift(given: Given, distance: Callable[[Values, Values], Values], bins: int, what: str) -> Measured:
    sides = comparable(given)
    if isinstance(sides, str):
        return Measured(None, note=sides)
    texts, previous = sides
    bounds = edges(previous.tokens_N, bins)
    before: Values = one_hot(previous.tokens_N, bounds).sum(axis=0)
    means = f"mean {np.mean(previous.tokens_N):.1f} → {np.mean(texts.tokens_N):.1f} tokens"
    return moved(one_hot(texts.tokens_N, bounds), texts.prompt_N, lambda now: distance(now, before),
                 f"{what} of lengths against {previous.version}; {means}")
