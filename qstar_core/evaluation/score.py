"""What an evaluation leaves: one number a measure with its interval, and what every problem contributed to it.

A measure is a ratio of sums over problems. Each problem's share of the two sums is kept, (0, 0) where the problem has
none, so that two students can be compared problem by problem without asking them again. A number that is not finite is
an error, never a score.
"""

from __future__ import annotations

import math

from pydantic import Field

from qstar_core.config import SetRole
from qstar_core.errors import DataError
from qstar_core.records import Record

Part = tuple[float, float]
Parts = tuple[Part, ...]


class Measure(Record):
    """`name` is the set's name and the figure's, such as target/accuracy; the true value lies between `low` and `high`
    with the suite's confidence, by `method`. `n` counts the problems that have a value."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    method: str


class SetScore(Record):
    """`replies` are the greedy ones, in the order of `prompts`. `skipped` counts problems that this model's tokenizer
    or context cannot take, by reason."""

    name: str
    role: SetRole
    prompts: tuple[str, ...]
    replies: tuple[str, ...]
    outcomes: dict[str, Parts]
    skipped: dict[str, int] = Field(default_factory=dict)


class Score(Record):
    """One checkpoint on one suite. `sha256` covers all that decides its replies, an adapter's base included, and
    `checkpoint` the files of its own folder, as a Checkpoint records it. `final`: the suite only reports, and never
    decides."""

    model: str
    sha256: str
    checkpoint: str
    suite: str
    final: bool
    measures: tuple[Measure, ...]
    sets: tuple[SetScore, ...]
    code_version: str
    created: str

    def measure(self, name: str) -> Measure:
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise DataError(f"the score of {self.model} has no measure {name}",
                        "add it to evaluation.measures, and give the set problems that it applies to")

    def set_of(self, name: str) -> SetScore:
        for one in self.sets:
            if one.name == name:
                return one
        raise DataError(f"the score of {self.model} has no set {name}", "evaluate it on the same suite")


def score_key(sha256: str, suite: str) -> str:
    return f"scores/{sha256}/{suite}.json"


def checked(name: str, *values: float | None) -> None:
    """DataError where one is NaN or infinite."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise DataError(f"the measure {name} is {value}", "look at the replies and the weights of the checkpoint")
