"""Scores abusive language with a linear model over words. It knows English only and misjudges quotations, so it logs
unless told to drop. The model is a joblib file inside the installed package, trusted as its code is."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from qstar_core.config import Action
from qstar_core.filters.base import BatchFilter, Candidate, Finding, Judgement, Options


class ToxicityOptions(Options):
    max_probability: float = Field(0.9, gt=0, le=1, description="Largest probability of abuse that passes")


class ToxicityFilter(BatchFilter[ToxicityOptions]):
    name = "toxicity"
    options = ToxicityOptions
    action = Action.LOG
    packages = ("profanity_check",)
    spreads = True

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        from profanity_check import predict_prob

        return [Finding("abusive language" if probability > self._options.max_probability else None, float(probability))
                for probability in predict_prob([candidate.sample.completion for candidate in candidates])]
