"""The perplexity of the worked solutions as replies: exp of the mean −log probability of their tokens. The end of the
turn does not count, and a problem without a worked solution has no part in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.score import Parts
from qstar_core.gate.bootstrap import Values


class Perplexity:
    name: ClassVar[str] = "perplexity"
    figure: ClassVar[str] = "perplexity"
    higher: ClassVar[bool | None] = False

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        yield self.figure, tuple((-one.log_p if one.tokens else 0.0, float(one.tokens)) for one in given.references)

    def transform(self, ratio: Values) -> Values:
        return np.exp(ratio)
