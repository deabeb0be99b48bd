"""Drops completions outside of a range of tokens, the end mark not counted."""

from __future__ import annotations

from pydantic import Field

from qstar_core.filters.base import Candidate, Filter, Finding, Options
from qstar_core.records import FinishReason


class LengthOptions(Options):
    min_tokens: int = Field(1, ge=0)
    max_tokens: int | None = Field(None, ge=1)


class LengthFilter(Filter[LengthOptions]):
    name = "length"
    options = LengthOptions
    spreads = True

    def judge(self, candidate: Candidate) -> Finding | None:
        sample = candidate.sample
        length = len(sample.token_ids) - (sample.finish_reason is FinishReason.STOP)
        if length < self._options.min_tokens or not sample.completion:
            return Finding("too short", length)
        if self._options.max_tokens is not None and length > self._options.max_tokens:
            return Finding("too long", length)
        return None
