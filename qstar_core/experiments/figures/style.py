"""How every figure looks: no background of its own, and colours that are seen on white paper and on a dark page.

An image in a Markdown page cannot know the page's colours: it follows the reader's system, and sites have a switch of
their own. So nothing here depends on either: text and rules are of one grey that stands out from white and from black
alike, and lines are those colours of Okabe and Ito that do. Lines also differ in dashes and marks, so none needs its
colour to be told.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from qstar_core.report.text import cut

INK = "#787d84"  # 4.2 : 1 and more against white and against GitHub's dark page
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_RC = {
    "svg.hashsalt": "qstar", "svg.fonttype": "path", "font.size": 11.0, "font.family": ["DejaVu Sans"],
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.titlecolor": INK, "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.linewidth": 0.9,
    "legend.frameon": False, "legend.fontsize": 10.5, "text.parse_math": False, "text.usetex": False,
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one arm is drawn, the same in every figure of a study."""

    colour: str
    marker: str
    dashes: Any
    width: float
    hollow: bool = False

    @property
    def mark(self) -> dict[str, Any]:
        """For a line or its bars: a hollow mark shows what lies behind it."""
        larger = {"*": 1.5, "P": 1.15, "X": 1.15}.get(self.marker, 1.0)
        return {"color": self.colour, "marker": self.marker, "markersize": 5.5 * larger, "markeredgewidth": 1.2,
                "markeredgecolor": self.colour, "markerfacecolor": "none" if self.hollow else self.colour}


@dataclass(frozen=True, slots=True)
class Drawing:
    """`name` becomes the file's; `text` tells a reader who cannot see the figure what it shows."""

    name: str
    svg: str
    text: str
    caption: str


def looks(together: Sequence[Sequence[str]], first: str) -> dict[str, Look]:
    """Of all arms in these groups, each of which is drawn in one panel. Up to twice as many arms as marks have
    one of their own, solid or hollow, by which they are known in grey; arms of a group differ in colour while there
    are colours. `first` is the arm that the study is about: it alone has the first colour, and the widest line."""
    arms = [arm for arm in dict.fromkeys(arm for group in together for arm in group) if arm != first]
    found = {first: Look(COLOURS[0], MARKERS[0], DASHES[0], 2.8)}
    for place, arm in enumerate(arms, 1):
        beside = [found[other].colour for group in together if arm in group for other in group if other in found]
        colour = min(COLOURS[1:], key=lambda one: (beside.count(one), COLOURS.index(one)))
        again, marker = divmod(place, len(MARKERS))
        found[arm] = Look(colour, MARKERS[marker], DASHES[(place + again) % len(DASHES)], 1.6, again % 2 == 1)
    return found


def label(text: str) -> str:
    """A name in a legend; one that begins with `_` still belongs there."""
    return "\u200b" + cut(text, 40)


def panels(count: int, width: float = 5.0, height: float = 3.9, most: int = 3, share_y: bool = True,
           legend: int = 0) -> tuple[Any, list[Any]]:
    """A figure with so many axes in a row, or in several; `legend` is how many entries will stand below."""
    columns = max(1, min(most, count))
    rows = max(1, math.ceil(count / columns))
    size = (max(6.4, width * columns), height * rows + 0.24 * math.ceil(legend / (2 * columns)))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.08, hspace=0.06), facecolor="none")
    grid = figure.subplots(rows, columns, sharey=share_y, squeeze=False)
    shown = [axes for row in grid for axes in row]
    for spare in shown[count:]:
        spare.set_visible(False)
    for axes in shown[:count]:
        axes.set_facecolor("none")
        axes.grid(color=INK, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, shown[:count]


def legend_below(figure: Any, axes: Sequence[Any], columns: int) -> None:
    """One legend for all axes, each name once."""
    entries: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    # long enough for a whole period of every kind of dashes
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, handlelength=3.4)


def styled() -> Any:
    """The settings under which a figure is made and written."""
    return matplotlib.rc_context(_RC)


def written(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return out.getvalue()
