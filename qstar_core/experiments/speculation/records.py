"""What a study of speculation leaves."""

from __future__ import annotations

from qstar_core.experiments.interval import Interval
from qstar_core.experiments.work import Timed
from qstar_core.records import Record


class Way(Record):
    """One way to decode. Speeds are tokens a second of all rows together; ratios are of runs that were taken in turn.
    `draft` is the length that was used, where it is fixed or was settled on; 0 is lockstep."""

    name: str
    speed: Interval
    over_lockstep: Interval
    over_teacher: Interval
    acceptance: Interval | None
    tokens_per_teacher_forward: float | None
    draft: int | None


class Cost(Record):
    """`cost` is one forward of the teacher over one of the student, for one token of every row."""

    pair: str
    slots: int
    student_parameters: int
    teacher_parameters: int
    cost: Interval
    ways: tuple[Way, ...]


class Exactness(Record):
    """χ² of a way's samples against the enumerated law and against samples drawn directly (lockstep); `same` is the
    share of samples that are token for token those of lockstep with the same random numbers. None for lockstep."""

    way: str
    samples: int
    p_law: float
    p_direct: float | None
    same: float | None


class SpeculationResult(Timed):
    """`sequences` is the number of completions of the enumerated law; `p_wrong` is what its test says where α is the
    wrong way round: a test that can fail."""

    costs: tuple[Cost, ...]
    sequences: int
    exactness: tuple[Exactness, ...]
    p_wrong: float
    level: float

    @property
    def exact(self) -> bool:
        """No test speaks against it, at `level` for all of them together."""
        found = [p for one in self.exactness for p in (one.p_law, one.p_direct) if p is not None]
        return min(found) * len(found) >= self.level and self.p_wrong < self.level
