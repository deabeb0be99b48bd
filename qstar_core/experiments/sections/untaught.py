"""Rounds that kept no row: a student was trained on nothing there, and stayed as it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qstar_core.experiments.sections.facts import Facts
from qstar_core.experiments.sections.markdown import escape
from qstar_core.experiments.statistics.lines import Line

_MARK = " †"


def empty_rounds(line: Line) -> int:
    """Of all its seeds."""
    return int((np.diff(line.kept_S_R, axis=1) == 0).sum())


def kept(line: Line) -> str:
    """Samples kept in the end, the mean over seeds, marked where a round kept none."""
    return f"{line.kept_S_R[:, -1].mean():,.0f}" + (_MARK if empty_rounds(line) else "")


def _named(facts: Facts, line: Line) -> str:
    return ", ".join([escape(facts.label(line.arm)), *(f"{escape(name)} {escape(str(at))}" for name, at in line.axes)])


def note(facts: Facts, lines: Sequence[Line]) -> str:
    """What the mark means; empty where there is none."""
    told = [f"{_named(facts, line)} in {empty_rounds(line)} of {line.kept_S_R[:, 1:].size} rounds"
            for line in lines if empty_rounds(line)]
    return f"\n†: trained on nothing, because no row was kept: {'; '.join(told)}.\n" if told else ""
