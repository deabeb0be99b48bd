"""The section of the page of evidence on speculation."""

from __future__ import annotations

from qstar_core.experiments.interval import Interval
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.markdown import escape, figure, table
from qstar_core.experiments.speculation.figures import speeds
from qstar_core.experiments.speculation.records import SpeculationResult, Way
from qstar_core.experiments.statistics.estimate import chance


class SpeculationSection:
    def __init__(self, name: str, title: str, result: SpeculationResult) -> None:
        self._name, self._title, self._result = name, title, result

    def render(self) -> Part:
        found = self._result
        drafting = [way.name for way in found.costs[0].ways if way.draft is not None and way.name != "lockstep"]
        drawing = speeds(found.costs, drafting, f"{self._name}-speed")
        parts = [_exactness(found), figure(drawing, "Speed with drafts"), _table(found)]
        return Part(self._title or "Speculation", "\n".join(parts), (drawing,))


def _exactness(found: SpeculationResult) -> str:
    rows = [[escape(one.way), f"{one.samples:,}", chance(one.p_law),
             "–" if one.p_direct is None else chance(one.p_direct), "–" if one.same is None else f"{one.same:.2%}"]
            for one in found.exactness]
    tests = sum(1 if one.p_direct is None else 2 for one in found.exactness)
    verdict = "Nothing speaks against exactness" if found.exact else "**Exactness is not shown**"
    return (f"{verdict}: χ² of samples against all {found.sequences:,} completions of an enumerated law, and against "
            f"samples drawn directly, {tests} tests at the level {found.level:g} together. With α the wrong way round "
            f"the same test says p {chance(found.p_wrong)}. The last column is the share of samples that are token for "
            "token those of lockstep with the same random numbers.\n\n"
            + table(["way", "samples", "p, the law", "p, direct", "the same tokens"], rows))


def _table(found: SpeculationResult) -> str:
    parts = ["Tokens a CPU second of one thread, all rows together; ratios are of runs taken in turn. `tiny` is the "
             "embedded pair, its teacher made dearer by layers that add nothing; `random` are untrained models of "
             "several sizes.\n"]
    for cost in found.costs:
        rows = [[escape(_named(way)), way.speed.told(0), way.over_lockstep.told(2), way.over_teacher.told(2),
                 _or_dash(way.acceptance), _plain(way.tokens_per_teacher_forward)] for way in cost.ways]
        parts.append(f"**{escape(cost.pair)}, {cost.slots} in flight**: {cost.student_parameters:,} and "
                     f"{cost.teacher_parameters:,} parameters; a forward of the teacher costs {cost.cost.told(1)} of "
                     "the student's.\n")
        parts.append(table(["way", "tokens/s", "over lockstep", "over the teacher alone", "accepted",
                            "tokens a teacher's forward"], rows))
    return "\n".join(parts)


def _named(way: Way) -> str:
    if way.name != "adaptive":
        return way.name
    return f"adaptive (settled on {'lockstep' if way.draft == 0 else f'k={way.draft}'})"


def _or_dash(found: Interval | None) -> str:
    return "–" if found is None else found.told(2)


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
