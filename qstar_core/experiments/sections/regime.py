"""The arms of one regime, and the arm that the study is about against each of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qstar_core.errors import DataError
from qstar_core.experiments.sections.facts import Facts, of_regime, regimes_of
from qstar_core.experiments.statistics.comparing import LEVEL, Compared, compare, holm, ranked
from qstar_core.experiments.statistics.efficiency import budget_of, level_of
from qstar_core.experiments.statistics.estimate import Estimate
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.noise import Noises, noise_of


@dataclass(frozen=True, slots=True)
class Regime:
    """`order` has the best arm first. `against` and Holm's chances `adjusted` are over all arms beside the subject."""

    name: str
    arms: Mapping[str, Line]
    order: Sequence[tuple[Line, Estimate]]
    against: Mapping[str, Compared]
    adjusted: Mapping[str, float]
    noise: Noises | None
    level: float | None
    budget: float

    @property
    def clear(self) -> bool:
        """Whether the best arm is shown to be better than every other."""
        best, *rest = (line for line, _ in self.order)
        found = [compare(best, line, self.noise) for line in rest]
        return bool(rest) and all(one.ahead and p < LEVEL
                                  for one, p in zip(found, holm([one.p for one in found]), strict=True))


def compared(facts: Facts, lines: Sequence[Line]) -> list[Regime]:
    return [_regime(name, of_regime(lines, name), facts.the_subject()) for name in regimes_of(lines)]


def _regime(name: str, arms: Mapping[str, Line], subject: str) -> Regime:
    if subject not in arms:
        raise DataError(f"the arm {subject} has no results in regime {name}", "run it there too")
    lines = list(arms.values())
    noise = noise_of(lines)
    against = {other: compare(arms[subject], arms[other], noise) for other in arms if other != subject}
    adjusted = dict(zip(against, holm([one.p for one in against.values()]), strict=True))
    return Regime(name, arms, ranked(lines), against, adjusted, noise, level_of(lines), budget_of(lines))
