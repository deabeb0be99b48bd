"""Drops completions outside of a range of tokens, the end mark not counted."""

from __future__ import annotations

from pydantic import Field

from qstar_core.filters.base import Candidate, Options
from qstar_core.records import FinishReason


class LengthOptions(Options):
    min_tokens: int = Field(1, ge=0)
    max_tokens: int | None = Field(None, ge=1)


class LengthFilter:
    name = "length"
    options = LengthOptions

    def __init__(self, options: LengthOptions) -> None:
        self._options = options

    def judge(self, candidate: Candidate) -> str | None:
        sample = candidate.sample
        length = len(sample.token_ids) - (sample.finish_reason is FinishReason.STOP)
        if length < self._options.min_tokens or not sample.completion:
            return "too short"
        if self._options.max_tokens is not None and length > self._options.max_tokens:
            return "too long"
        return None
