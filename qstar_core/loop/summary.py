"""A loop in rows, one a round: the same numbers for the terminal, the page and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from qstar_core.config import SetRole, Settings
from qstar_core.evaluation.measures.registry import measurement_of
from qstar_core.evaluation.score import Measure
from qstar_core.loop.records import Begun, Measures, Round


@dataclass(frozen=True, slots=True)
class Row:
    """The line's student after a round, on the problems that never decide; round 0 is the beginning. `refused` is the
    new student's measure where it was not promoted. `gain` is in points, hundredths of the target's measure for the
    better, against the row before."""

    number: int
    measures: dict[str, Measure]
    round: Round | None
    refused: Measure | None
    gain: float

    @property
    def seconds(self) -> float:
        return 0.0 if self.round is None else self.round.seconds

    @property
    def tokens(self) -> int:
        return 0 if self.round is None else self.round.refreshed.tokens

    def per_point(self, spent: float) -> float | None:
        """What one point of gain cost; None where nothing was gained."""
        return spent / self.gain if self.gain > 0 else None


@dataclass(frozen=True, slots=True)
class Summary:
    """`figure` is the measure that decides, such as accuracy; `sets` are the evaluation's, with the target first."""

    begun: Begun
    rounds: tuple[Round, ...]
    rows: tuple[Row, ...]
    figure: str
    sets: tuple[tuple[str, SetRole], ...]
    told: str

    @property
    def target(self) -> str:
        return f"{self.sets[0][0]}/{self.figure}"

    @property
    def promotions(self) -> int:
        return sum(one.promoted for one in self.rounds)

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows)

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows)

    @property
    def gain(self) -> float:
        """In points of the target's measure, from the beginning to now."""
        return sum(row.gain for row in self.rows)


def summarise(settings: Settings, begun: Begun, rounds: Sequence[Round], told: str) -> Summary:
    figure = settings.promotion.measure
    sets = tuple((one.name, one.role) for one in sorted(settings.evaluation.sets, key=lambda one: _PLACES[one.role]))
    target = f"{sets[0][0]}/{figure}"
    standing = [_by_name(begun.final)]
    refused: list[Measure | None] = [None]
    for one in rounds:
        found = _by_name(one.evaluated.final)
        standing.append(found if one.promoted else standing[-1])
        refused.append(None if one.promoted else found.get(target))
    point = 100 if measurement_of(figure).higher else -100
    gains = [0.0, *(point * (new[target].value - old[target].value) for old, new in pairwise(standing))]
    rows = tuple(Row(number, measures, one, no, gain) for number, (measures, one, no, gain) in enumerate(
        zip(standing, [None, *rounds], refused, gains, strict=True)))
    return Summary(begun, tuple(rounds), rows, figure, sets, told)


_PLACES = {SetRole.TARGET: 0, SetRole.GUARD: 1, SetRole.REPORT: 2}


def _by_name(measures: Measures) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}
