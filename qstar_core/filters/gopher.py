"""Gopher's repetition rules as datatrove has them, with its thresholds. They were made for web text and object to
worked mathematics, so they log unless told to drop."""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any

from pydantic import Field

from qstar_core.config import Action
from qstar_core.filters.base import Candidate, Filter, Options
from qstar_core.filters.words import words_and_signs

_PLAIN = {"dup_line_frac": "duplicate lines", "dup_para_frac": "duplicate paragraphs",
            "dup_line_char_frac": "duplicate line characters", "dup_para_char_frac": "duplicate paragraph characters"}

Words = Annotated[int, Field(ge=1, le=1000)]


class GopherOptions(Options):
    dup_line_frac: float = Field(0.30, ge=0, le=1, description="Largest share of lines that occurred before")
    dup_para_frac: float = Field(0.30, ge=0, le=1, description="The same of paragraphs")
    dup_line_char_frac: float = Field(0.20, ge=0, le=1, description="Largest share of characters in such lines")
    dup_para_char_frac: float = Field(0.20, ge=0, le=1, description="The same of paragraphs")
    top_n_grams: tuple[tuple[Words, float], ...] = Field(
        ((2, 0.20), (3, 0.18), (4, 0.16)), description="Largest share of characters in the most frequent n-gram")
    dup_n_grams: tuple[tuple[Words, float], ...] = Field(
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
        text = candidate.sample.completion
        joined = JoinedWords(words_and_signs(text))
        # Most of datatrove's time goes into counting n-grams of which none occurs twice.
        self._rules.dup_n_grams = [(n, most) for n, most in self._options.dup_n_grams if joined.repeats(n)]
        found = self._rules.filter(Document(text=text, id=candidate.sample.id))
        return None if found is True else _PLAIN.get(found[1], found[1].replace("_", " "))

    @cached_property
    def _rules(self) -> Any:
        return gopher_rules(self._options)


class JoinedWords:
    """Words without anything between them, as datatrove compares n-grams."""

    def __init__(self, words: list[str]) -> None:
        self._text = "".join(words)
        self._starts = [0, *accumulate(map(len, words))]

    def repeats(self, n: int) -> bool:
        text, spans = self._text, len(self._starts) - n
        return len({text[a:b] for a, b in zip(self._starts, self._starts[n:], strict=False)}) < spans


def gopher_rules(options: GopherOptions) -> Any:
    """datatrove's filter with this project's words; its own splitters ask for spaCy."""
    from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Splitter(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return words_and_signs(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return text.splitlines()

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    return GopherRepetitionFilter(**options.model_dump(), language=Splitter())
