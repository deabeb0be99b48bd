"""Drops samples that share a long run of words with an evaluation set: training on them would make its scores
worthless.

The runs of the evaluation sets are kept as hashes of 64 bits. A question shorter than a run is compared whole.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Literal

from pydantic import Field

from qstar_core.errors import DataError
from qstar_core.filters.base import Candidate, Filter, Finding, Options
from qstar_core.filters.words import grams, words

_SHORTEST = 4  # words; "what is 2 + 2" of an evaluation set would otherwise hit by accident


class ContaminationOptions(Options):
    against: tuple[str, ...] = Field(min_length=1, description="Evaluation sets: whatever source.path takes")
    ngram: int = Field(13, ge=5, le=50, description="Words in a run; 8 is strict, 13 usual")
    parts: tuple[Literal["question", "completion"], ...] = Field(
        ("question", "completion"), min_length=1, description="What of a sample is compared")


class ContaminationFilter(Filter[ContaminationOptions]):
    name = "contamination"
    options = ContaminationOptions

    def check(self) -> None:
        for name in self._options.against:
            if next(self._context.texts(name), None) is None:
                raise _empty(name)

    def judge(self, candidate: Candidate) -> Finding | None:
        """The score is the share of the sample's runs that an evaluation set has."""
        texts = {"question": candidate.prompt.question, "completion": candidate.sample.completion}
        for part in self._options.parts:
            found = self._hashes(texts[part])
            shared = len(found & self._known)
            if shared:
                return Finding(f"{part} of an evaluation set", shared / len(found))
        return None

    def _hashes(self, text: str) -> set[int]:
        return {_hash(gram) for gram in grams(words(text), self._options.ngram)}

    @cached_property
    def _known(self) -> set[int]:
        known: set[int] = set()
        for name in self._options.against:
            before = len(known)
            for text in self._context.texts(name):
                if len(words(text)) >= _SHORTEST:
                    known |= self._hashes(text)
            if len(known) == before:
                raise _empty(name)
        return known


def _empty(name: str) -> DataError:
    return DataError(f"the evaluation set {name} holds no text to compare with", "check `against` of contamination")


def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
