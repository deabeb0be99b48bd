"""Drops a completion that is nearly one that was kept before (MinHash over runs of words): of the same prompt, of
another one, or of the version before this one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from qstar_core.filters.base import Candidate, Filter, Finding, Options
from qstar_core.filters.context import FilterContext
from qstar_core.filters.words import grams, words_and_signs

Signature = npt.NDArray[np.uint32]
_EARLIER = "near-duplicate of the version before"


class NearDuplicateOptions(Options):
    threshold: float = Field(0.7, gt=0, lt=1, description="Jaccard similarity from which on two texts are the same")
    ngram: int = Field(5, ge=1, le=32, description="Words in a run")
    permutations: int = Field(128, ge=16, le=1024, description="Hashes in a signature; more is more exact")
    across_prompts: bool = Field(True, description="Compare with the completions of other prompts too")
    min_words: int = Field(20, ge=1, description="Shorter texts are compared within their prompt only")
    earlier: bool = Field(False, description="Compare with the rows of the version before too")


class NearDuplicateFilter(Filter[NearDuplicateOptions]):
    name = "near_duplicate"
    options = NearDuplicateOptions

    def __init__(self, options: NearDuplicateOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._index: Any = None
        self._known: list[tuple[str, bool, str | None, Signature]] = []  # prompt, long enough, sample, signature

    def judge(self, candidate: Candidate) -> Finding | None:
        """The score is the estimated similarity to the nearest text before."""
        if self._index is None:
            self._open()
        return self._judge(candidate.prompt.id, candidate.sample.completion, candidate.sample.id)

    def _open(self) -> None:
        from datasketch import MinHashLSH

        self._index = MinHashLSH(threshold=self._options.threshold, num_perm=self._options.permutations)
        if self._options.earlier:
            for row in self._context.earlier():
                self._judge(row.prompt_id, row.completion, None)

    def _judge(self, prompt_id: str, completion: str, sample_id: str | None) -> Finding | None:
        """`sample_id` is None for a row of the version before."""
        from datasketch import MinHash

        text = words_and_signs(completion.casefold())
        if not text:
            return None
        hashes = MinHash(num_perm=self._options.permutations)
        hashes.update_batch([gram.encode("utf-8", "surrogatepass") for gram in grams(text, self._options.ngram)])
        signature = hashes.hashvalues.astype(np.uint32)
        long = len(text) >= self._options.min_words
        best, found, like = 0.0, None, ""
        for key in self._index.query(hashes):
            other_prompt, other_long, other_id, other = self._known[key]
            if prompt_id == other_prompt or (self._options.across_prompts and long and other_long):
                similarity = float(np.mean(signature == other))
                if similarity > best:
                    best, found, like = similarity, "near-duplicate" if other_id else _EARLIER, other_id or ""
        if found is not None and best >= self._options.threshold:
            return Finding(found, best, like)
        self._index.insert(len(self._known), hashes, check_duplication=False)
        self._known.append((prompt_id, long, sample_id, signature))
        return None
