"""Drops a completion that the same prompt already has in this round, white space aside."""

from __future__ import annotations

import hashlib

from qstar_core.filters.base import Candidate, Filter, Options
from qstar_core.filters.context import FilterContext


class DuplicateFilter(Filter[Options]):
    name = "duplicate"

    def __init__(self, options: Options, context: FilterContext) -> None:
        super().__init__(options, context)
        self._seen: set[bytes] = set()

    def judge(self, candidate: Candidate) -> str | None:
        text = " ".join(candidate.sample.completion.split())
        digest = hashlib.sha256(f"{candidate.prompt.id}\x00{text}".encode("utf-8", "surrogatepass")).digest()[:16]
        if digest in self._seen:
            return "exact duplicate"
        self._seen.add(digest)
        return None
