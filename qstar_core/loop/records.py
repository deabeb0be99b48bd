"""What a loop leaves behind: how it began, and one immutable record a step. Nothing else is its state.

A step that has a record is never done again, so a loop that was killed anywhere goes on with the first step that has
none. `seconds` are those of the attempt that ended the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from qstar_core.evaluation.score import Measure
from qstar_core.promotion.decision import Decision
from qstar_core.records import Checkpoint, DatasetVersion, JsonObject, Record

Measures = tuple[Measure, ...]


class Begun(Record):
    """`first` is the student that the loop began with, and `final` its measures on the problems that never decide.
    `turns` counts the rounds that earlier loops of the line judged: its problems rotate from there."""

    line: str
    loop: str
    identity: str
    settings: JsonObject
    turns: int
    first: Checkpoint
    final: Measures
    created: str


class Refreshed(Record):
    """A version was published. `alpha`, `kl_theta` and `kl_t` are means over all tokens drawn, `divergent` the share of
    tokens where the models differ; None where nothing was measured."""

    version: DatasetVersion
    student: str
    samples: int
    tokens: int
    alpha: float | None
    kl_theta: float | None
    kl_t: float | None
    divergent: float | None
    seconds: float


class Retrained(Record):
    """A checkpoint of the line is whole in the store."""

    checkpoint: Checkpoint
    seconds: float


class Evaluated(Record):
    """The new student beside the line's on the problems of the round, and alone on those that never decide."""

    decision: Decision
    before: Measures
    after: Measures
    final: Measures
    kl: Measure | None
    seconds: float


class Concluded(Record):
    """`promotion` is the number in the line's history; None where the old student stayed, and `told` says why."""

    promotion: int | None
    told: str


Step = Refreshed | Retrained | Evaluated | Concluded
S = TypeVar("S", bound=Step)
STEPS: dict[type[Record], str] = {Refreshed: "refresh", Retrained: "retrain", Evaluated: "evaluate",
                                Concluded: "conclude"}


@dataclass(frozen=True, slots=True)
class Round:
    """A round that was concluded."""

    number: int
    refreshed: Refreshed
    retrained: Retrained
    evaluated: Evaluated
    concluded: Concluded

    @property
    def promoted(self) -> bool:
        return self.concluded.promotion is not None

    @property
    def seconds(self) -> float:
        return self.refreshed.seconds + self.retrained.seconds + self.evaluated.seconds
