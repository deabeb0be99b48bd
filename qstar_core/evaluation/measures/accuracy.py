"""The share of problems whose greedy reply is right. What the verifier could not judge has no value, and its share is
told beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity, part
from qstar_core.evaluation.score import Parts
from qstar_core.evaluation.verdicts import Correctness
from qstar_core.gate.bootstrap import Values


class Accuracy:
    name: ClassVar[str] = "accuracy"
    figure: ClassVar[str] = "accuracy"
    higher: ClassVar[bool | None] = True

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        verdicts = [one for (one,) in given.correct([[sample] for sample in given.greedy])]
        yield self.figure, tuple((0.0, 0.0) if one is Correctness.UNJUDGED else part(float(one is Correctness.RIGHT))
                                 for one in verdicts)
        errors = [one is Correctness.UNJUDGED and prompt.answer is not None
                  for one, prompt in zip(verdicts, given.prompts, strict=True)]
        if any(errors):
            yield "unjudged", tuple(part(float(error)) for error in errors)

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)
