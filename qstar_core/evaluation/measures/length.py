"""The mean length of greedy replies in tokens, and the share of them that were cut off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity, part
from qstar_core.evaluation.score import Parts
from qstar_core.gate.bootstrap import Values
from qstar_core.records import FinishReason


class Length:
    name: ClassVar[str] = "length"
    figure: ClassVar[str] = "length"
    higher: ClassVar[bool | None] = None

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        yield self.figure, tuple(part(float(len(sample.token_ids))) for sample in given.greedy)
        yield "cut", tuple(part(float(sample.finish_reason is FinishReason.LENGTH)) for sample in given.greedy)

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)
