"""Drops what a reward model likes least: a share of the round, or everything below a calibrated probability.

The raw output of a reward model has no scale of its own: "0.7" means nothing until slope and intercept were fitted to
replies that are known to be good or bad. A checkpoint that `qstar reward train` made brings them along; of any other
they are given, or only a percentile is offered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from pydantic import Field, model_validator

from qstar_core.filters.base import Candidate, Finding, Options, RoundFilter
from qstar_core.filters.context import FilterContext, Scorer


class Calibration(Options):
    """p = 1 / (1 + exp(-(slope · raw + intercept)))"""

    slope: float = Field(gt=0, description="Factor of the raw score")
    intercept: float = Field(description="Added to it")

    def probability(self, raw: float) -> float:
        return 0.5 * (1 + math.tanh(0.5 * (self.slope * raw + self.intercept)))


class RewardOptions(Options):
    model: str = Field(description="Reward model: folder, hub id, or store:LINE for one trained here")
    percentile: float | None = Field(None, gt=0, lt=100, description="Share of the round to drop: the lowest")
    min_score: float | None = Field(None, ge=0, le=1, description="Lowest calibrated probability that passes")
    calibration: Calibration | None = Field(None, description="slope and intercept that make a score a "
                                                                      "probability; empty: the checkpoint's own")

    @model_validator(mode="after")
    def _one_bound(self) -> RewardOptions:
        if (self.percentile is None) == (self.min_score is None):
            raise ValueError("set percentile or min_score, and not both")
        return self


class RewardFilter(RoundFilter[RewardOptions]):
    name = "reward"
    options = RewardOptions

    def __init__(self, options: RewardOptions, context: FilterContext) -> None:
        super().__init__(options, context)
        self._least = -math.inf if options.min_score is None else options.min_score

    @property
    def whole_round(self) -> bool:
        return self._options.percentile is not None

    def check(self) -> None:
        self._context.present(self._options.model)
        if self._options.min_score is not None and self._options.calibration is None:
            self._context.calibrated(self._options.model)

    def measure(self, candidates: Sequence[Candidate]) -> list[float]:
        raw = self._scorer.score([candidate.prompt.messages for candidate in candidates],
                                 [candidate.sample.completion for candidate in candidates])
        if self._options.calibration is not None:
            return [self._options.calibration.probability(value) for value in raw]
        return raw if self._options.min_score is None else [self._scorer.probability(value) for value in raw]

    def settle(self, measured: Sequence[float]) -> None:
        if measured and self._options.percentile is not None:
            self._least = sorted(measured)[int(len(measured) * self._options.percentile / 100)]

    def decide(self, measured: float) -> Finding:
        return Finding("low reward" if measured < self._least else None, measured)

    @cached_property
    def _scorer(self) -> Scorer:
        return self._context.scorer(self._options.model)
