"""What a filter is. One filter a file: a class with a `name`, built from its options, that keeps or gives a reason.

A filter may remember what it has seen (duplicates do); one instance judges one round, in the order of the plan.
Building one is cheap: models, pools and files are opened by the first sample that is judged.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from qstar_core.config import Action
from qstar_core.errors import ConfigError
from qstar_core.filters.context import FilterContext
from qstar_core.records import Prompt, Sample


@dataclass(frozen=True, slots=True)
class Candidate:
    prompt: Prompt
    sample: Sample


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter measured. Without a reason the sample is kept. `duplicate_of` is the id of a sample it repeats."""

    reason: str | None = None
    score: float | None = None
    duplicate_of: str = ""


Judgement = Finding | str | None


class Options(BaseModel):
    """Base of every filter's options: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


O = TypeVar("O", bound=Options)  # noqa: E741


class Filter(ABC, Generic[O]):
    """`action` is what happens where the step does not say; `packages` are what it needs of the extra `filters`;
    `spreads` says that a judgement depends on its candidate alone, so that worker processes may share the work; there a
    prompt has no solution and no meta, and a sample no summary, which are not sent."""

    name: ClassVar[str]
    options: ClassVar[type[Options]] = Options
    action: ClassVar[Action] = Action.DROP
    packages: ClassVar[tuple[str, ...]] = ()
    spreads: ClassVar[bool] = False

    def __init__(self, options: O, context: FilterContext) -> None:
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise ConfigError(f"the filter {self.name} needs the package {package}",
                                  "pip install 'qstar[filters]', or take the filter out of the list")
        self._options = options
        self._context = context

    def check(self) -> None:
        """Raise what can be known before a sample is drawn: a model that is not there, an unknown evaluation set."""

    @abstractmethod
    def judge(self, candidate: Candidate) -> Judgement:
        """None keeps the sample; a short phrase says why not, alike for alike samples; a Finding has a score."""

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        return [self.judge(candidate) for candidate in candidates]

    def close(self) -> None:
        """Give back what the first sample opened."""


class BatchFilter(Filter[O]):
    """A filter that judges many candidates for little more than one."""

    def judge(self, candidate: Candidate) -> Judgement:
        return self.judge_many([candidate])[0]

    @abstractmethod
    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]: ...


class RoundFilter(BatchFilter[O]):
    """A filter whose bound may depend on the whole round (a percentile, a robust z-score).

    `measure` sees every candidate that reaches the filter and returns something small for each; `settle` sees all that
    was measured; `decide` then judges from it. Where `whole_round` is false the bound is fixed and nothing waits.
    """

    @property
    @abstractmethod
    def whole_round(self) -> bool: ...

    @abstractmethod
    def measure(self, candidates: Sequence[Candidate]) -> Sequence[Any]: ...

    @abstractmethod
    def settle(self, measured: Sequence[Any]) -> None: ...

    @abstractmethod
    def decide(self, measured: Any) -> Judgement: ...

    def judge_many(self, candidates: Sequence[Candidate]) -> Sequence[Judgement]:
        return [self.decide(one) for one in self.measure(candidates)]
