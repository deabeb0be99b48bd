"""ROUGE-1, ROUGE-2 and ROUGE-L (F) of greedy replies against worked solutions.

The package's own tokenizer keeps nothing but a to z and digits; here words are those of the filters, in any script,
and signs that are written without spaces between words count one by one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any, ClassVar

from qstar_core.errors import ConfigError
from qstar_core.evaluation.given import Given
from qstar_core.evaluation.intervals import identity, part
from qstar_core.evaluation.score import Part, Parts
from qstar_core.filters.words import words
from qstar_core.gate.bootstrap import Values

_TYPES = ("rouge1", "rouge2", "rougeL")


class Rouge:
    name: ClassVar[str] = "rouge"
    figure: ClassVar[str] = "rouge"
    higher: ClassVar[bool | None] = True

    def figures(self, given: Given) -> Iterator[tuple[str, Parts]]:
        scorer = _scorer()
        found: dict[str, list[Part]] = {name: [] for name in _TYPES}
        for prompt, sample in zip(given.prompts, given.greedy, strict=True):
            scores = scorer.score(prompt.solution, sample.completion) if prompt.solution else None
            for name in _TYPES:
                found[name].append((0.0, 0.0) if scores is None else part(float(scores[name].fmeasure)))
        for name, parts in found.items():
            yield f"{self.figure}@{name.removeprefix('rouge')}", tuple(parts)

    def transform(self, ratio: Values) -> Values:
        return identity(ratio)


class _Words:
    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _scorer() -> Any:
    if importlib.util.find_spec("rouge_score") is None:
        raise ConfigError("the measure rouge needs the package rouge-score",
                          "pip install 'qstar[evaluation]', or take rouge out of evaluation.measures")
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(_TYPES), tokenizer=_Words())
