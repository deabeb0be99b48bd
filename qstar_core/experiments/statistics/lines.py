"""The results of a study arranged: one line for each arm at each place of the grid in each regime, over its seeds.

Nothing is left out quietly. A cell that is missing, that is there twice, that holds a number that is none, or that was
judged on other problems than the cells it is compared with, is a DataError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qstar_core.errors import DataError
from qstar_core.experiments.records import Cell, CellResult
from qstar_core.experiments.statistics.estimate import Values

Axes = tuple[tuple[str, str | float | int | bool], ...]
_AGAIN = "remove the record of that cell and run the study again: only that cell is run"


@dataclass(frozen=True, slots=True)
class Line:
    """`right_S_R_N`: whether each problem was right after each round for each seed; `kept_S_R`: samples kept so far."""

    regime: str
    arm: str
    axes: Axes
    seeds: tuple[int, ...]
    cells: tuple[CellResult, ...]
    rounds: tuple[int, ...]
    right_S_R_N: Values
    kept_S_R: Values

    def of(self, seeds: Sequence[int]) -> tuple[Values, Values]:
        """Right and kept at these seeds."""
        at = [self.seeds.index(seed) for seed in seeds]
        return self.right_S_R_N[at], self.kept_S_R[at]

    def only(self, seeds: Sequence[int], problems: slice) -> Line:
        """The part of the line with these seeds and problems."""
        right_S_R_N, kept_S_R = self.of(seeds)
        cells = tuple(self.cells[self.seeds.index(seed)] for seed in seeds)
        return Line(self.regime, self.arm, self.axes, tuple(seeds), cells, self.rounds, right_S_R_N[:, :, problems],
                    kept_S_R)


def named(cell: Cell) -> str:
    axes = "".join(f", {name} {value}" for name, value in sorted(cell.axes.items()))
    return f"{cell.study}: arm {cell.arm}, regime {cell.regime}, seed {cell.seed}{axes}"


def arranged(results: Iterable[CellResult], expected: Sequence[Cell]) -> tuple[Line, ...]:
    """In the order in which the expected cells first name them, whatever the order of the results."""
    found: dict[str, CellResult] = {}
    wanted = {named(cell): cell for cell in expected}
    for result in results:
        name = named(result.cell)
        if name in found:
            raise DataError(f"two results of one cell ({name})", "keep one of the two records")
        if name not in wanted:
            raise DataError(f"a result of a cell that the study does not name ({name})",
                            "make the page from the results of the study as it is now")
        found[name] = result
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{len(missing)} of {len(wanted)} results are missing, the first is {missing[0]}",
                        "run the study again: it goes on where it stopped")
    groups: dict[tuple[str, str, Axes], list[CellResult]] = {}
    for name, cell in wanted.items():
        groups.setdefault((cell.regime, cell.arm, tuple(sorted(cell.axes.items()))), []).append(found[name])
    lines = tuple(_line(*place, sorted(cells, key=lambda one: one.cell.seed)) for place, cells in groups.items())
    _check_paired(lines)
    return lines


def _line(regime: str, arm: str, axes: Axes, cells: list[CellResult]) -> Line:
    first = cells[0]
    rounds = tuple(point.round for point in first.points)
    for cell in cells:
        _check_cell(cell, rounds, len(first.points[0].right) if first.points else 0)
    right_S_R_N = np.asarray([[point.right for point in cell.points] for cell in cells], dtype=np.float64)
    kept_S_R = np.asarray([[point.kept for point in cell.points] for cell in cells], dtype=np.float64)
    return Line(regime, arm, axes, tuple(cell.cell.seed for cell in cells), tuple(cells), rounds, right_S_R_N,
                kept_S_R)


def _check_cell(result: CellResult, rounds: tuple[int, ...], problems: int) -> None:
    name = named(result.cell)
    if len(result.points) < 2 or problems < 2:
        raise DataError(f"{name} has {len(result.points)} points and {problems} problems, of each two are needed",
                        "give the study a round and problems")
    if tuple(point.round for point in result.points) != rounds:
        raise DataError(f"{name} has other rounds than the other seeds of its arm", _AGAIN)
    if any(len(point.right) != problems for point in result.points):
        raise DataError(f"{name} is judged on another number of problems than the other seeds of its arm", _AGAIN)
    if any(a.kept > b.kept for a, b in zip(result.points, result.points[1:], strict=False)):
        raise DataError(f"{name} has fewer samples kept after a round than before it", _AGAIN)
    numbers = [value for point in result.points for value in (
        *point.measures.values(), point.kl_initial, point.gradient_variance, point.sampling_seconds,
        point.training_seconds)] + [result.wall_seconds, result.cpu_seconds]
    if result.mixing is not None:
        mixing = result.mixing
        numbers += [*mixing.alpha, *(value for pair in mixing.ess for value in pair),
                    *(value for row in mixing.alpha_by_position for value in row), mixing.ess_ratio,
                    mixing.alpha_within, mixing.leaked]
    if not all(value is None or np.isfinite(value) for value in numbers):
        raise DataError(f"{name} holds a value that is no number", _AGAIN)


def _check_paired(lines: Sequence[Line]) -> None:
    """Cells of one regime and seed begin with the same student on the same problems, unless an axis changes it."""
    begun: dict[tuple[str, int, Axes], tuple[CellResult, tuple[bool, ...]]] = {}
    for line in lines:
        for seed, cell in zip(line.seeds, line.cells, strict=True):
            first = cell.points[0].right
            other, theirs = begun.setdefault((line.regime, seed, line.axes), (cell, first))
            if theirs != first:
                raise DataError(f"{named(cell.cell)} does not begin as {named(other.cell)} does",
                                "run both again: cells of a regime and seed are judged on the same problems")
