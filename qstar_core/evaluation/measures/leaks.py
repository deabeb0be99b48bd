"""The share of greedy replies that speak of what only a teacher is shown, with the phrases of the gate. A phrase that
the question itself has does not count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity, part
from qstar_core.evaluation.score import Parts
from qstar_core.gate.bootstrap import Values
from qstar_core.gate.reading import says


class Leaks:
    name: ClassVar[str] = "leaks"
    figure: ClassVar[str] = "leaks"
    higher: ClassVar[bool | None] = False

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        phrases = tuple(phrase.casefold() for phrase in given.gate.leak_phrases)
        yield self.figure, tuple(
            part(float(any(says(sample.completion, (phrase,)) and not says(prompt.question, (phrase,))
                           for phrase in phrases)))
            for prompt, sample in zip(given.prompts, given.greedy, strict=True))

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)
