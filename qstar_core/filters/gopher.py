"""Gopher's repetition rules as datatrove has them, with its thresholds. They were made for web text and object to
worked mathematics, so they log unless told to drop."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import Field

from qstar_core.config import Action
from qstar_core.filters.base import Candidate, Filter, Options
from qstar_core.filters.words import words_and_signs

_PLAIN = {"dup_line_frac": "duplicate lines", "dup_para_frac": "duplicate paragraphs",
            "dup_line_char_frac": "duplicate line characters", "dup_para_char_frac": "duplicate paragraph characters"}


class GopherOptions(Options):
    dup_line_frac: float = Field(0.30, ge=0, le=1, description="Largest share of lines that occurred before")
    dup_para_frac: float = Field(0.30, ge=0, le=1, description="The same of paragraphs")
    dup_line_char_frac: float = Field(0.20, ge=0, le=1, description="Largest share of characters in such lines")
    dup_para_char_frac: float = Field(0.20, ge=0, le=1, description="The same of paragraphs")
    top_n_grams: tuple[tuple[int, float], ...] = Field(
        ((2, 0.20), (3, 0.18), (4, 0.16)), description="Largest share of characters in the most frequent n-gram")
    dup_n_grams: tuple[tuple[int, float], ...] = Field(
        ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
        description="Largest share of characters in n-grams that occurred before")


class GopherFilter(Filter[GopherOptions]):
    name = "gopher"
    options = GopherOptions
    action = Action.LOG
    packages = ("datatrove",)
    spreads = True

    def judge(self, candidate: Candidate) -> str | None:
        from datatrove.data import Document

        if not candidate.sample.completion:
            return "empty"
        found = self._rules.filter(Document(text=candidate.sample.completion, id=candidate.sample.id))
        return None if found is True else _PLAIN.get(found[1], found[1].replace("_", " "))

    @cached_property
    def _rules(self) -> Any:
        return gopher_rules(self._options)


def gopher_rules(options: GopherOptions) -> Any:
    """datatrove's filter with this project's words; its own splitters ask for spaCy."""
    from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return words_and_signs(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return text.splitlines()

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    return GopherRepetitionFilter(**options.model_dump(), language=Words())
