"""What a section of the page is: anything that renders to Markdown and figures.

A section is made with the results of its own study, whatever those are, so a new kind of study is one file here and
one line where the page's sections are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qstar_core.experiments.figures.style import Drawing

FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Part:
    """`markdown` begins below the section's heading; `drawings` are the figures that it shows. `in_short` are sentences
    in Markdown for the top of the page, where the section has a result that is worth it."""

    title: str
    markdown: str
    drawings: tuple[Drawing, ...] = ()
    in_short: tuple[str, ...] = ()


class Section(Protocol):
    def render(self) -> Part: ...
