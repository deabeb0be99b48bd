"""Drops what did not end by itself: a truncated completion teaches a student to stop in the middle."""

from __future__ import annotations

from qstar_core.filters.base import Candidate, Filter, Options
from qstar_core.records import FinishReason


class FinishFilter(Filter[Options]):
    name = "finish"
    spreads = True

    def judge(self, candidate: Candidate) -> str | None:
        return None if candidate.sample.finish_reason is FinishReason.STOP else "truncated"
