"""The configured filters in order, and the funnel they leave. A new filter is one file and one line in FILTERS.

Samples pass in blocks and are forgotten; only a filter that asks for the whole round (`whole_round`) makes the chain
read the samples once more, with what was found so far kept as a few numbers a sample.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError

from qstar_core.config import FilterStep
from qstar_core.errors import ConfigError
from qstar_core.filters.answer import AnswerFilter
from qstar_core.filters.base import Candidate, Filter, RoundFilter
from qstar_core.filters.code import CodeFilter
from qstar_core.filters.contamination import ContaminationFilter
from qstar_core.filters.context import NO_CONTEXT, FilterContext
from qstar_core.filters.diagnostics import DiagnosticsFilter
from qstar_core.filters.duplicate import DuplicateFilter
from qstar_core.filters.finish import FinishFilter
from qstar_core.filters.gopher import GopherFilter
from qstar_core.filters.hint_leak import HintLeakFilter
from qstar_core.filters.judge import JudgeFilter
from qstar_core.filters.language import LanguageFilter
from qstar_core.filters.length import LengthFilter
from qstar_core.filters.loop import LoopFilter
from qstar_core.filters.near_duplicate import NearDuplicateFilter
from qstar_core.filters.pii import PiiFilter
from qstar_core.filters.progress import Progress, Step, advance
from qstar_core.filters.reward import RewardFilter
from qstar_core.filters.semantic_duplicate import SemanticDuplicateFilter
from qstar_core.filters.toxicity import ToxicityFilter
from qstar_core.filters.workers import Block, Workers
from qstar_core.records import FinishReason, FunnelStep, Outcome, Verdict

FILTERS: dict[str, Any] = {f.name: f for f in (
    FinishFilter, LengthFilter, AnswerFilter, CodeFilter, HintLeakFilter, LoopFilter, GopherFilter, LanguageFilter,
    ToxicityFilter, PiiFilter, DuplicateFilter, NearDuplicateFilter, SemanticDuplicateFilter, ContaminationFilter,
    DiagnosticsFilter, RewardFilter, JudgeFilter,
)}
ENGINE = "engine"
BLOCK = 256

T = TypeVar("T")


class FilterChain:
    """A context manager: leaving it ends the processes that filters started."""

    def __init__(self, steps: Iterable[FilterStep], context: FilterContext = NO_CONTEXT, processes: int = 1) -> None:
        self._configured = tuple(steps)
        self._processes = processes
        self._steps = configured(self._configured, context)
        names = [step.name for step in self._steps]
        if len(set(names)) < len(names):
            raise ConfigError(f"filters lists {', '.join(names)}", "name each filter once")
        self._entered: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {name: Counter() for name in (ENGINE, *names)}
        self._logged: dict[str, Counter[str]] = {name: Counter() for name in (ENGINE, *names)}

    def check(self) -> None:
        """Raise what can be known before a sample is drawn."""
        for step in self._steps:
            step.filter.check()

    def judge(self, candidate: Candidate) -> Verdict:
        """One sample by itself: failed in the engine, dropped by the first filter that objects, or kept."""
        return next(verdict for _, verdict in self.judged(lambda: [candidate], lambda item: item))

    def judged(self, items: Callable[[], Iterable[T]], candidate: Callable[[T], Candidate]) -> Iterator[
            tuple[T, Verdict]]:
        """Every item with its verdict, in order. `items` gives the same ones every time; it is called once more for
        every filter that has to see the whole round first."""
        states: list[Progress] | None = None
        start = 0
        for cut, step in enumerate(self._steps):
            if isinstance(step.filter, RoundFilter) and step.filter.whole_round:
                states = self._survey(step, self._passed(_blocks(items(), candidate, states), start, cut))
                start = cut + 1
        for block in self._passed(_blocks(items(), candidate, states), start, len(self._steps)):
            for item, given, state in zip(*block, strict=True):
                self._count(state)
                yield item, Verdict(sample_id=given.sample.id, prompt_id=given.sample.prompt_id, outcome=state.outcome,
                                    stage=state.stage, reason=state.reason, score=state.score, scores=state.scores,
                                    logged=state.logged, duplicate_of=state.duplicate_of)

    def funnel(self) -> tuple[FunnelStep, ...]:
        return tuple(
            FunnelStep(stage=stage, entered=self._entered[stage], kept=self._entered[stage] - dropped.total(),
                       dropped=dict(sorted(dropped.items())), logged=dict(sorted(self._logged[stage].items())))
            for stage, dropped in self._dropped.items()
        )

    def close(self) -> None:
        for step in self._steps:
            step.filter.close()

    def __enter__(self) -> FilterChain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _passed(self, blocks: Iterable[Block[T]], start: int, end: int) -> Iterator[Block[T]]:
        """The blocks after the filters from `start` to `end`; the first of them in worker processes where they may."""
        own = start
        while self._processes > 1 and own < end and self._steps[own].filter.spreads:
            own += 1
        workers = Workers(self._processes, self._configured[start:own]) if own > start else None
        try:
            for block in blocks if workers is None else workers.advance(blocks):
                advance(self._steps[own:end], block[1], block[2])
                yield block
        finally:
            if workers is not None:
                workers.close()

    @staticmethod
    def _survey(step: Step, blocks: Iterable[Block[T]]) -> list[Progress]:
        """Everything measured, then everything decided."""
        judge = step.filter
        assert isinstance(judge, RoundFilter)
        states: list[Progress] = []
        alive: list[Progress] = []
        measured: list[Any] = []
        for _, candidates, progress in blocks:
            reached = [(c, state) for c, state in zip(candidates, progress, strict=True) if state.alive]
            measured.extend(judge.measure([c for c, _ in reached]))
            alive.extend(state for _, state in reached)
            states.extend(progress)
        judge.settle(measured)
        for state, found in zip(alive, measured, strict=True):
            state.apply(step, judge.decide(found))
        return states

    def _count(self, state: Progress) -> None:
        for stage in self._dropped:
            self._entered[stage] += 1
            if stage == state.stage:
                self._dropped[stage][state.reason] += 1
                break
            if stage in state.logged:
                self._logged[stage][state.logged[stage]] += 1


def configured(steps: Sequence[FilterStep], context: FilterContext = NO_CONTEXT) -> list[Step]:
    built = [_build(index, step, context) for index, step in enumerate(steps)]
    return [Step(step.name, step.action or one.action, one) for step, one in zip(steps, built, strict=True)]


def _blocks(items: Iterable[T], candidate: Callable[[T], Candidate], states: list[Progress] | None) -> Iterator[
        Block[T]]:
    known = iter(states) if states is not None else None
    source = iter(items)
    while batch := list(itertools.islice(source, BLOCK)):
        candidates = [candidate(item) for item in batch]
        if known is None:
            yield batch, candidates, [_began(one) for one in candidates]
        else:
            yield batch, candidates, list(itertools.islice(known, len(batch)))


def _began(candidate: Candidate) -> Progress:
    if candidate.sample.finish_reason is not FinishReason.ERROR:
        return Progress()
    return Progress(Outcome.FAILED, ENGINE, candidate.sample.error or "unknown error")


def _build(index: int, step: FilterStep, context: FilterContext) -> Filter[Any]:
    if step.name not in FILTERS:
        raise ConfigError(f"filters.{index}.name = {step.name!r} is unknown", f"use {', '.join(sorted(FILTERS))}")
    kind = FILTERS[step.name]
    try:
        options = kind.options.model_validate(step.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join((f"filters.{index}.options", *(str(part) for part in first["loc"])))
        fault = f"{key} is missing" if first["type"] == "missing" else f"{key} = {first['input']!r} is wrong"
        raise ConfigError(fault, str(first["msg"])) from None
    built: Filter[Any] = kind(options, context)
    return built
