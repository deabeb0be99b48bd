"""Markdown whose every text stays a text: names of arms and studies come from files that anyone may have written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qstar_core.experiments.figures.style import Drawing
from qstar_core.experiments.sections.base import FIGURES
from qstar_core.experiments.statistics.estimate import Estimate
from qstar_core.report.text import cut

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#!$@&])")
_LONGEST = 600


def escape(text: str, limit: int = _LONGEST) -> str:
    """One line in which nothing is a mark of Markdown, a tag, a formula or the end of a table's cell."""
    line = _SPECIAL.sub(r"\\\1", " ".join(cut(" ".join(text.split()), limit).split()))
    line = re.sub(r"(?i)(https?|ftp)://", r"\1\\://", line)
    line = re.sub(r"(?i)\bwww\.", r"www\\.", re.sub(r"^([-+=])", r"\\\1", line))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is text, the rest are numbers. Cells are Markdown already."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell or '–' for cell in line)} |" for line in lines) + "\n"


def figure(drawing: Drawing, title: str) -> str:
    """`title` is ours."""
    return (f"![{escape(drawing.text, 4_000)}]({FIGURES}/{drawing.name}.svg)\n\n"
            f"**{title}.** {escape(drawing.caption, 2_000)}\n")


def shown(found: Estimate | None) -> str:
    return "–" if found is None else found.told()


def share(found: Estimate | None) -> str:
    """A share with its interval, to two decimals."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
