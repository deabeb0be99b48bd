"""Drops a completion that says what one kept before says, by the cosine of their embeddings. Every text is compared
with those before it, block by block: memory holds one vector a text, never a square of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from qstar_core.filters.base import BatchFilter, Candidate, Finding, Judgement, Options
from qstar_core.filters.context import Embedder, FilterContext
from qstar_core.records import Floats

_BLOCK = 8192
_EVERYWHERE = ""


class SemanticDuplicateOptions(Options):
    threshold: float = Field(0.95, gt=0, le=1, description="Cosine above which two texts say the same")
    model: str = Field("builtin:minilm", description="Embedding checkpoint: folder, hub id, or builtin:minilm")
    across_prompts: bool = Field(False, description="Compare with the completions of other prompts too")
    earlier: bool = Field(False, description="Compare with the rows of the version before too")


class SemanticDuplicateFilter(BatchFilter[SemanticDuplicateOptions]):
    name = "semantic_duplicate"
    options = SemanticDuplicateOptions

    def __init__(self, options: SemanticDuplicateOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._kept: dict[str, _Vectors] = defaultdict(_Vectors)
        self._opened = False

    def check(self) -> None:
        self._context.present(self._options.model)

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        """The score is the cosine to the nearest text before."""
        if not self._opened:
            self._opened = True
            self._open()
        vectors = self._embedder.encode([candidate.sample.completion for candidate in candidates])
        return [self._judge(candidate.prompt.id, vector)
                for candidate, vector in zip(candidates, vectors, strict=True)]

    @cached_property
    def _embedder(self) -> Embedder:
        return self._context.embedder(self._options.model)

    def _open(self) -> None:
        batch: list[tuple[str, str]] = []
        for row in self._context.earlier() if self._options.earlier else ():
            batch.append((row.prompt_id, row.completion))
            if len(batch) == 256:
                self._remember(batch)
        self._remember(batch)

    def _remember(self, batch: list[tuple[str, str]]) -> None:
        if batch:
            for (prompt_id, _), vector in zip(batch, self._embedder.encode([text for _, text in batch]), strict=True):
                self._kept[self._scope(prompt_id)].add(vector)
        batch.clear()

    def _scope(self, prompt_id: str) -> str:
        return _EVERYWHERE if self._options.across_prompts else prompt_id

    def _judge(self, prompt_id: str, vector: Floats) -> Finding | None:
        kept = self._kept[self._scope(prompt_id)]
        cosine = kept.nearest(vector)
        if cosine is not None and cosine > self._options.threshold:
            return Finding("says the same", cosine)
        kept.add(vector)
        return None if cosine is None else Finding(None, cosine)


class _Vectors:
    """Rows of length 1, in blocks; only the last block grows, to twice its size at a time."""

    def __init__(self) -> None:
        self._full: list[Floats] = []
        self._last: Floats = np.empty((0, 0), dtype=np.float32)
        self._used = 0

    def add(self, vector: Floats) -> None:
        if self._used == _BLOCK:
            self._full.append(self._last)
            self._last, self._used = np.empty((0, 0), dtype=np.float32), 0
        if self._used == len(self._last):
            grown = np.empty((max(4, 2 * self._used), len(vector)), dtype=np.float32)
            grown[: self._used] = self._last[: self._used].reshape(self._used, len(vector))
            self._last = grown
        self._last[self._used] = vector
        self._used += 1

    def nearest(self, vector: Floats) -> float | None:
        blocks = (*self._full, self._last[: self._used]) if self._used else self._full
        return min(max(float((block @ vector).max()) for block in blocks), 1.0) if blocks else None
