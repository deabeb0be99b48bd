"""Drops a completion that the same prompt already has in this round, white space aside."""

from __future__ import annotations

import hashlib

from qstar_core.filters.base import Candidate, Filter, Finding, Options
from qstar_core.filters.context import FilterContext


class DuplicateFilter(Filter[Options]):
    name = "duplicate"

    def __init__(self, options: Options, context: FilterContext) -> None:
        super().__init__(options, context)
        self._first: dict[bytes, str] = {}  # the id of the first sample that says it

    def judge(self, candidate: Candidate) -> Finding | None:
        text = " ".join(candidate.sample.completion.split())
        digest = hashlib.sha256(f"{candidate.prompt.id}\x00{text}".encode("utf-8", "surrogatepass")).digest()[:16]
        if digest in self._first:
            return Finding("exact duplicate", duplicate_of=self._first[digest])
        self._first[digest] = candidate.sample.id
        return None
