"""Drops wrong answers, and completions that give none. A prompt without a gold answer passes: verification does not
apply to it."""

from __future__ import annotations

from qstar_core.answers import final_answer, same_answer
from qstar_core.filters.base import Candidate, Options


class AnswerFilter:
    name = "answer"
    options = Options

    def __init__(self, options: Options) -> None:
        del options

    def judge(self, candidate: Candidate) -> str | None:
        gold = candidate.prompt.answer
        if gold is None:
            return None
        given = final_answer(candidate.sample.completion)
        if given is None:
            return "no answer"
        return None if same_answer(given, gold) else "wrong answer"
