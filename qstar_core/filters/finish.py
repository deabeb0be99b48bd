"""Drops what did not end by itself: a truncated completion teaches a student to stop in the middle."""

from __future__ import annotations

from qstar_core.filters.base import Candidate, Options
from qstar_core.records import FinishReason


class FinishFilter:
    name = "finish"
    options = Options

    def __init__(self, options: Options) -> None:
        del options

    def judge(self, candidate: Candidate) -> str | None:
        return None if candidate.sample.finish_reason is FinishReason.STOP else "truncated"
