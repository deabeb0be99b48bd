"""Drops completions that go round in circles: one run of words again and again without a break, or most of the text
said before."""

from __future__ import annotations

from pydantic import Field

from qstar_core.filters.base import Candidate, Filter, Finding, Options
from qstar_core.filters.context import FilterContext
from qstar_core.filters.words import words_and_signs

_LONGEST_PERIOD = 64
_LONGEST = 20_000  # words that are looked at


class LoopOptions(Options):
    ngram: int = Field(8, ge=1, le=64, description="Length of the runs of words that are counted")
    max_repeated: float = Field(0.5, ge=0, le=1, description="Largest share of runs that occurred before")
    max_turns: int = Field(6, ge=2, description="Most turns of one run of words directly after each other")
    min_words: int = Field(32, ge=1, description="Shorter texts, and shorter loops, pass")


class LoopFilter(Filter[LoopOptions]):
    name = "loop"
    options = LoopOptions
    spreads = True

    def __init__(self, options: LoopOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._least = min(map(self._needed, range(1, _LONGEST_PERIOD + 1)))

    def judge(self, candidate: Candidate) -> Finding | None:
        options, text = self._options, words_and_signs(candidate.sample.completion)[:_LONGEST]
        if len(text) < options.min_words:
            return None
        total = len(text) - options.ngram + 1
        distinct = len({tuple(text[start : start + options.ngram]) for start in range(total)})
        repeated = 1 - distinct / total if total > 0 else 0.0
        if repeated > options.max_repeated:
            return Finding("repeats itself", repeated)
        if distinct == total and self._least >= options.ngram:
            return None  # whoever goes round says a run of words twice
        return Finding("loops", repeated) if self._turns(text) else None

    def _needed(self, period: int) -> int:
        """How many words in a row must be those of one period before."""
        return max(self._options.max_turns * period, self._options.min_words - period)

    def _turns(self, text: list[str]) -> bool:
        """Is there a stretch of at least `min_words` words that is one run, more than `max_turns` times?"""
        for period in range(1, min(_LONGEST_PERIOD, len(text) // 2) + 1):
            needed, stretch = self._needed(period), 0
            for word, earlier in zip(text[period:], text, strict=False):
                stretch = stretch + 1 if word == earlier else 0
                if stretch >= needed:
                    return True
        return False
