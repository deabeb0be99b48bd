"""Speed of every way to decode over lockstep and over the teacher alone, by what the teacher's forward costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from qstar_core.experiments.figures.style import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    Drawing,
    legend_below,
    panels,
    styled,
    written,
)
from qstar_core.experiments.interval import Interval
from qstar_core.experiments.speculation.records import Cost, Way

Over = Callable[[Way], Interval]


def speeds(costs: Sequence[Cost], drafting: Sequence[str], name: str) -> Drawing:
    """A row of panels for each family of pairs, a panel for each batch and thing to be compared with."""
    families = {family: list(found) for family, found in groupby(
        sorted(costs, key=lambda cost: (_family(cost), cost.slots, cost.cost.value)), key=_family)}
    compared: tuple[tuple[str, Over], ...] = (("lockstep", lambda way: way.over_lockstep),
                                              ("the teacher alone", lambda way: way.over_teacher))
    slots = sorted({cost.slots for cost in costs})
    places = [(family, count, against) for family in families for count in slots for against in compared]
    told = []
    with styled():
        figure, all_axes = panels(len(places), width=3.9, height=3.3, most=2 * len(slots), share_y=False,
                                  legend=2 * len(drafting))
        for (family, count, (against, over)), axes in zip(places, all_axes, strict=True):
            shown = [cost for cost in families[family] if cost.slots == count]
            _panel(axes, shown, drafting, over)
            axes.set(title=f"{family}, {count} in flight", xscale="log", xlabel="teacher's forward / student's",
                     ylabel=f"times {against}")
            axes.set_xticks([cost.cost.value for cost in shown], [f"{cost.cost.value:.1f}" for cost in shown],
                            minor=False)
            axes.set_xticks([], minor=True)
            for cost in shown:
                best = max((way for way in cost.ways if way.name in drafting), key=lambda way: over(way).value)
                told.append(f"{cost.pair}, {count} in flight: {best.name} at {over(best).value:.2f} times {against}")
        legend_below(figure, all_axes, columns=4)
        return Drawing(name, written(figure), f"{'; '.join(told)}.", "Means with 95 % intervals over the turns; above "
                       "the dashed line speculation is faster. CPU seconds of one thread.")


def _panel(axes: Any, costs: Sequence[Cost], drafting: Sequence[str], over: Over) -> None:
    for place, name in enumerate(drafting):
        found = [over(next(way for way in cost.ways if way.name == name)) for cost in costs]
        # beside each other: intervals that lie on one another cannot be read
        at = [cost.cost.value * 1.03 ** (place - (len(drafting) - 1) / 2) for cost in costs]
        value = np.array([one.value for one in found])
        away = np.array([[one.value - one.low for one in found], [one.high - one.value for one in found]])
        axes.errorbar(at, value, yerr=away, color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)],
                      linestyle=DASHES[place % len(DASHES)], linewidth=1.4, markersize=5.5, capsize=2.5, label=name)
    axes.axhline(1.0, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
    axes.set_ylim(bottom=0)


def _family(cost: Cost) -> str:
    return cost.pair.rpartition("-")[0] or cost.pair
