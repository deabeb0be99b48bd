"""The share of hedging words among all words of greedy replies, with the words of the gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity
from qstar_core.evaluation.score import Parts
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.reading import split_words


class Hedging:
    name: ClassVar[str] = "hedging"
    figure: ClassVar[str] = "hedging"
    higher: ClassVar[bool | None] = False

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        hedging = frozenset(word.casefold() for word in given.gate.hedging_words)
        spoken = [split_words(sample.completion) for sample in given.greedy]
        yield self.figure, tuple((float(sum(map(hedging.__contains__, said))), float(len(said))) for said in spoken)

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)
