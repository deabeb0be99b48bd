"""What a measure is: one file, a class with a name, that tells every problem's part in a ratio of two sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.score import Parts
from qstar_core.gate.bootstrap import Values


class Measurement(Protocol):
    """`name` is what evaluation.measures lists; a figure's name begins with `figure`, and may go on with @ and a
    number. `higher`: whether more is better, None where neither is."""

    name: ClassVar[str]
    figure: ClassVar[str]
    higher: ClassVar[bool | None]

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        """Name and parts, one part a problem in the order of `given.prompts`, (0, 0) where it does not apply."""
        ...

    def transform(self, ratio: Values) -> Values:
        """From the ratio of the sums to the figure."""
        ...
