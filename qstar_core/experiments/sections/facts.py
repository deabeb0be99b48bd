"""What the spec says of a study of a grid, as far as the page needs it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from qstar_core.errors import DataError
from qstar_core.experiments.records import Cell
from qstar_core.experiments.statistics.lines import Line
from qstar_core.records import Record


class Kind(StrEnum):
    COMPARISON = "comparison"
    GRID = "grid"
    SEARCH = "search"


class Facts(Record):
    """`arms` are names with the labels that readers see, and `about` says of some what they really are. `subject` is
    the arm that the study is about, `baseline` the one whose samples count as one; `baselines` are those of the plan,
    the other arms are controls. `worse` and `same` are planted: they must rank last, and not apart from the subject.
    `expected`: every cell, in the order of the spec. Lines are not compared across values of
    the axes `apart`, such as kinds of task. `development`: the seeds that a search may choose by."""

    name: str
    title: str
    about: dict[str, str] = Field(default_factory=dict)
    kind: Kind
    arms: dict[str, str]
    subject: str | None = None
    baseline: str | None = None
    baselines: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    expected: tuple[Cell, ...]
    apart: tuple[str, ...] = ()
    development: tuple[int, ...] = Field(default_factory=tuple)

    def label(self, arm: str) -> str:
        return self.arms.get(arm) or arm

    def the_subject(self) -> str:
        if self.subject is None or self.subject not in self.arms:
            raise DataError(f"the study {self.name} does not say which of its arms it is about",
                            "name that arm as the study's reference")
        return self.subject


class NotRun(Record):
    """A study that the spec has and that was not run, and why."""

    name: str
    title: str
    reason: str


def regimes_of(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.regime for line in lines))


def of_regime(lines: Sequence[Line], regime: str) -> dict[str, Line]:
    """By arm, where there are no axes."""
    return {line.arm: line for line in lines if line.regime == regime}
