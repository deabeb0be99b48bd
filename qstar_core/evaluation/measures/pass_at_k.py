"""The chance that one of k samples of a problem is right, estimated without bias from n ≥ k samples:
1 − C(n − c, k) / C(n, k) where c of them are right, averaged over problems."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity, part
from qstar_core.evaluation.score import Part, Parts
from qstar_core.evaluation.verdicts import Correctness
from qstar_core.gate.bootstrap import Values


class PassAtK:
    name: ClassVar[str] = "pass_at_k"
    figure: ClassVar[str] = "pass"
    higher: ClassVar[bool | None] = True

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        verdicts = given.correct(given.drawn)
        for k in sorted(set(given.evaluation.pass_at)):
            yield f"{self.figure}@{k}", tuple(self._part(one, k) for one in verdicts)

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)

    @staticmethod
    def _part(verdicts: list[Correctness], k: int) -> Part:
        """None of fewer judged samples than k."""
        judged = [one for one in verdicts if one is not Correctness.UNJUDGED]
        if len(judged) < k:
            return 0.0, 0.0
        return part(pass_at_k(len(judged), judged.count(Correctness.RIGHT), k))


def pass_at_k(n: int, right: int, k: int) -> float:
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)
