"""Every measure by its name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.errors import ConfigError
from qstar_core.evaluation.measures.accuracy import Accuracy
from qstar_core.evaluation.measures.base import Measurement
from qstar_core.evaluation.measures.hedging import Hedging
from qstar_core.evaluation.measures.leaks import Leaks
from qstar_core.evaluation.measures.length import Length
from qstar_core.evaluation.measures.pass_at_k import PassAtK
from qstar_core.evaluation.measures.perplexity import Perplexity
from qstar_core.evaluation.measures.rouge import Rouge

_ALL: tuple[Measurement, ...] = (Accuracy(), PassAtK(), Perplexity(), Rouge(), Length(), Hedging(), Leaks())
MEASURES = {measure.name: measure for measure in _ALL}
_BY_FIGURE = {measure.figure: measure for measure in _ALL} | {"cut": MEASURES["length"],
                                                              "unjudged": MEASURES["accuracy"]}


def measurements(names: Sequence[str]) -> list[Measurement]:
    unknown = [name for name in names if name not in MEASURES]
    if unknown or len(set(names)) < len(names):
        raise ConfigError(f"evaluation.measures lists {', '.join(unknown or names)}",
                          f"name each once, of {', '.join(MEASURES)}")
    return [MEASURES[name] for name in names]


def measurement_of(figure: str) -> Measurement:
    """Of a figure such as accuracy or pass@4."""
    found = _BY_FIGURE.get(figure.partition("@")[0])
    if found is None:
        raise ConfigError(f"there is no figure {figure!r}",
                          f"use {', '.join(_BY_FIGURE)}; with @k for pass, and @1, @2 or @L for rouge")
    return found
