"""A study over a grid, such as ablations and scaling: every place of the grid in a table a regime, the best first, and
the reference, where there is one, against each other arm at each place of the axes.

The best is marked only where it is better than every other place of its table by the paired test after Holm; each row
says how it stands against the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import Facts, regimes_of
from qstar_core.experiments.sections.markdown import escape, share, shown, table
from qstar_core.experiments.sections.untaught import kept, note
from qstar_core.experiments.statistics.comparing import LEVEL, accuracy, compare, holm, ranked
from qstar_core.experiments.statistics.estimate import chance
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import MEASURES, measured
from qstar_core.experiments.statistics.noise import noise_of

_MEASURES = ("ess_ratio", "alpha", "leaked", "kept", "gradient", "kl", "wall")


class Grid:
    def __init__(self, facts: Facts, lines: Sequence[Line]) -> None:
        self._facts, self._lines = facts, lines

    def render(self) -> Part:
        parts = []
        for regime in regimes_of(self._lines):
            for apart, lines in self._comparable([line for line in self._lines if line.regime == regime]):
                place = "".join(f", {escape(name)} {escape(str(value))}" for name, value in apart)
                parts.append(f"### Regime {escape(regime)}{place}\n")
                parts += [self._table(lines), *([] if self._facts.subject is None else [self._reference(lines)])]
        return Part(self._facts.title, "\n".join(parts))

    def _comparable(self, lines: Sequence[Line]) -> list[tuple[list[tuple[str, object]], list[Line]]]:
        """By the values of the axes across which nothing is compared."""
        def key(line: Line) -> list[tuple[str, object]]:
            return [(name, value) for name, value in line.axes if name in self._facts.apart]

        order = sorted(lines, key=lambda line: str(key(line)))
        return [(key(group[0]), group) for _, found in groupby(order, key=lambda line: str(key(line)))
                for group in [list(found)]]

    def _places(self, line: Line) -> dict[str, str]:
        """Of the axes along which lines are compared."""
        return {name: escape(str(value)) for name, value in line.axes if name not in self._facts.apart}

    def _table(self, lines: Sequence[Line]) -> str:
        order = ranked(lines)
        best, rest = order[0][0], [line for line, _ in order[1:]]
        noise = noise_of(lines)
        found = [compare(best, line, noise) for line in rest]
        adjusted = holm([one.p for one in found])
        clear = bool(rest) and all(one.ahead and p < LEVEL for one, p in zip(found, adjusted, strict=True))
        keys = [key for key in _MEASURES if any(measured(line, key) is not None for line in lines)]
        rows = []
        for place, (line, last) in enumerate(order):
            against = ("–", "–") if place == 0 else (share(found[place - 1].win_rate), chance(adjusted[place - 1]))
            mark = " **(best)**" if place == 0 and clear else ""
            rows.append([escape(self._facts.label(line.arm)) + mark, *self._places(line).values(),
                         str(len(line.seeds)), kept(line), share(accuracy(line, 0)), share(last), *against,
                         *(shown(measured(line, key)) for key in keys)])
        told = ("The first row is better than every other after Holm." if clear else
                "No place of the grid is shown to be better than every other.") if rest else ""
        head = ["arm", *map(escape, self._places(best)), "seeds", "kept", "accuracy before", "after the last round",
                "win rate of the first row against it", f"p (Holm over {len(rest)})",
                *(MEASURES[key].title for key in keys)]
        return f"{table(head, rows)}\n{told}\n{note(self._facts, [line for line, _ in order])}"

    def _reference(self, lines: Sequence[Line]) -> str:
        """Empty where it has nothing beside it."""
        subject = self._facts.the_subject()
        references = {line.axes: line for line in lines if line.arm == subject}
        others = [line for line in lines if line.arm != subject and line.axes in references]
        if not others:
            return ""
        noise = noise_of(lines)
        found = [compare(references[line.axes], line, noise) for line in others]
        rows = [[escape(self._facts.label(line.arm)), *self._places(line).values(), share(one.win_rate), chance(p),
                 chance(one.p_students), f"{one.for_seeds} : {one.against_seeds}"]
                for line, one, p in zip(others, found, holm([one.p for one in found]), strict=True)]
        where = ", each at the same place of the axes" if self._places(others[0]) else ""
        head = ["arm", *map(escape, self._places(others[0])), "win rate against it", f"p (Holm over {len(others)})",
                "p, these students", "seeds won : lost"]
        return f"{escape(self._facts.label(subject))} against each arm{where}:\n\n{table(head, rows)}"
