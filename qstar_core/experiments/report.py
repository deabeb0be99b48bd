"""EXPERIMENTS.md with its figures, made from results and never typed: the same results give the same bytes.

The page is a list of sections. Those of studies over a grid are made here from their cells; any other study brings its
own, a `Section`. A result that is missing, there twice or no number is one line of error, and nothing is written then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qstar_core.errors import DataError, StoreError
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.sections.base import FIGURES, Part, Section
from qstar_core.experiments.sections.comparison import Comparison
from qstar_core.experiments.sections.facts import Facts, Kind, NotRun
from qstar_core.experiments.sections.grid import Grid
from qstar_core.experiments.sections.markdown import escape
from qstar_core.experiments.sections.not_run import NotRunHere
from qstar_core.experiments.sections.search import Search
from qstar_core.experiments.statistics.lines import Line, arranged
from qstar_core.records import Record

PAGE = "EXPERIMENTS.md"
_KINDS: dict[Kind, Callable[[Facts, Sequence[Line]], Section]] = {
    Kind.COMPARISON: Comparison, Kind.GRID: Grid, Kind.SEARCH: Search}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_READ = """Every number is computed from stored results. Unless said otherwise, what stands in brackets is a 95 %
interval, not adjusted for the number of questions, as *p (Holm)* is; it is the latter that decides. Intervals of
accuracy, win rate, efficiency and area count seeds and problems both (pigeonhole bootstrap with Student's t and
Satterthwaite's degrees of freedom). In a win rate an arm is taken to vary from seed to seed as its own seeds do, and
never less than the arms beside it on average; one with a single seed as the average. Others count problems alone where
there is one seed; those of measures count seeds alone, and there are none with one. A gradient variance is the noise
of a batch's gradient over its mean squared; where gradients are nothing but noise it is about the number of batches,
and says no more. *p* asks whether the arms differ under new seeds and problems; *p, these students* is a permutation
over problems and asks only about the students that were trained. A win rate counts a problem that both or neither
solve as half. The level of sample efficiency is taken from the results, the same for all arms.
"""


class Origin(Record):
    """What the page was written with: what was typed, and on what that ran."""

    title: str
    command: str
    profile: str
    machine: str
    versions: dict[str, str]
    commit: str


def _grid_section(facts: Facts, results: Sequence[CellResult]) -> Section:
    lines = arranged(results, facts.expected)
    return _KINDS[facts.kind](facts, lines)


def write_report(origin: Origin, studies: Sequence[tuple[Facts, Sequence[CellResult]]], others: Sequence[Section],
                 not_run: Sequence[NotRun], folder: Path) -> Path:
    """Where the page is. Figures that an earlier page had and this one has not are left where they are."""
    sections = [*(_grid_section(facts, results) for facts, results in studies), *others,
                *([NotRunHere(not_run)] if not_run else [])]
    parts = [section.render() for section in sections]
    drawings = [drawing for part in parts for drawing in part.drawings]
    names = [drawing.name for drawing in drawings]
    for name in names:
        if names.count(name) > 1 or not _NAME.fullmatch(name):
            raise DataError(f"a figure cannot be named {name!r:.80}", "give every study a name of its own, of a to z, "
                            "digits, dots and dashes")
    page = _page(origin, [cell for _, cells in studies for cell in cells], parts)
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        for drawing in drawings:
            (folder / FIGURES / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
        beside = folder / f".{PAGE}.new"
        beside.write_text(page, encoding="utf-8")
        return beside.replace(folder / PAGE)
    except OSError as error:
        raise StoreError(f"cannot write the page into {folder}: {error.strerror}", "name another folder") from None


def _page(origin: Origin, cells: Sequence[CellResult], parts: Sequence[Part]) -> str:
    told = [f"- {line}" for part in parts for line in part.in_short]
    head = [f"# {escape(origin.title)}\n", "Written by `qstar experiment`; nothing here is typed by hand.\n",
            *(["## In short\n", *told, "", "## Where it comes from and how to read it\n"] if told else []),
            _facts(origin, cells), *([_READ] if cells else [])]
    return "\n".join([*head, *(f"## {escape(part.title)}\n\n{part.markdown}" for part in parts)])


def _facts(origin: Origin, cells: Sequence[CellResult]) -> str:
    rows: Mapping[str, str] = {
        "command": origin.command, "profile": origin.profile, "page written on": origin.machine,
        "with": ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "at commit": origin.commit, **_ran(cells)}
    return "\n".join(f"- {name}: {escape(value)}" for name, value in rows.items()) + "\n"


def _ran(cells: Sequence[CellResult]) -> dict[str, str]:
    if not cells:
        return {}
    each = {cell.key: cell for cell in cells}  # one result may stand in several places
    days = sorted(cell.created[:10] for cell in each.values())
    return {"results": f"{len(each)} cells, {days[0]} to {days[-1]}, "
                       f"{sum(cell.wall_seconds for cell in each.values()) / 60:,.0f} minutes of cells, "
                       f"{sum(cell.cpu_seconds for cell in each.values()) / 60:,.0f} of them on the processor; code "
                       f"{', '.join(sorted({cell.code_version for cell in each.values()}))}"}
