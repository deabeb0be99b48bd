"""The configured filters in order, and the funnel they leave. A new filter is one file and one line in FILTERS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from qstar_core.config import FilterStep
from qstar_core.errors import ConfigError
from qstar_core.filters.answer import AnswerFilter
from qstar_core.filters.base import Candidate, Filter
from qstar_core.filters.duplicate import DuplicateFilter
from qstar_core.filters.finish import FinishFilter
from qstar_core.filters.length import LengthFilter
from qstar_core.records import FinishReason, FunnelStep, Outcome, Verdict

FILTERS: dict[str, Any] = {f.name: f for f in (FinishFilter, LengthFilter, AnswerFilter, DuplicateFilter)}
ENGINE = "engine"


class FilterChain:
    def __init__(self, steps: Iterable[FilterStep]) -> None:
        self._filters = [(step.name, _build(index, step)) for index, step in enumerate(steps)]
        names = [name for name, _ in self._filters]
        if len(set(names)) < len(names):
            raise ConfigError(f"filters lists {', '.join(names)}", "name each filter once")
        self._entered: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {name: Counter() for name in (ENGINE, *names)}

    def judge(self, candidate: Candidate) -> Verdict:
        """Exactly one outcome: failed in the engine, dropped by the first filter that objects, or kept."""
        sample = candidate.sample
        self._entered[ENGINE] += 1
        if sample.finish_reason is FinishReason.ERROR:
            return self._verdict(candidate, Outcome.FAILED, ENGINE, sample.error or "unknown error")
        for name, filter_ in self._filters:
            self._entered[name] += 1
            reason = filter_.judge(candidate)
            if reason is not None:
                return self._verdict(candidate, Outcome.DROPPED, name, reason)
        return Verdict(sample_id=sample.id, prompt_id=sample.prompt_id, outcome=Outcome.KEPT)

    def funnel(self) -> tuple[FunnelStep, ...]:
        return tuple(
            FunnelStep(stage=stage, entered=self._entered[stage], kept=self._entered[stage] - dropped.total(),
                       dropped=dict(sorted(dropped.items())))
            for stage, dropped in self._dropped.items()
        )

    def _verdict(self, candidate: Candidate, outcome: Outcome, stage: str, reason: str) -> Verdict:
        self._dropped[stage][reason] += 1
        return Verdict(sample_id=candidate.sample.id, prompt_id=candidate.sample.prompt_id, outcome=outcome,
                       stage=stage, reason=reason)


def _build(index: int, step: FilterStep) -> Filter:
    if step.name not in FILTERS:
        raise ConfigError(f"filters.{index}.name = {step.name!r} is unknown", f"use {', '.join(sorted(FILTERS))}")
    kind = FILTERS[step.name]
    try:
        built: Filter = kind(kind.options.model_validate(step.options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"filters.{index}.options.{key} = {first['input']!r} is wrong", str(first["msg"])) from None
    return built
