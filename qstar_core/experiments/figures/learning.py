"""Figure 1: accuracy over the samples kept, one panel a regime and group of arms.

The arm that the study is about has its 95 % interval as a band. The others have bars, a little beside each other: a
dozen bands hide each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from qstar_core.experiments.figures.style import INK, Drawing, Look, label, legend_below, panels, styled, written
from qstar_core.experiments.statistics.comparing import accuracy
from qstar_core.experiments.statistics.estimate import Estimate
from qstar_core.experiments.statistics.lines import Line
from qstar_core.report.text import cut

_FARTHER = 3.0
_BEST = 3
_CAPTION = ("Accuracy of the student's greedy answers after each round, over the samples kept so far. Band and bars "
            "are 95 % intervals over seeds and problems, of an arm with one seed over problems alone.")


def learning_curves(lines: Sequence[Line], subject: str, groups: Mapping[str, Sequence[str]],
                    arm_looks: Mapping[str, Look], labels: Mapping[str, str], name: str) -> Drawing:
    """`groups`: a title and its arms; each group has a row of panels."""
    regimes = list(dict.fromkeys(line.regime for line in lines))
    places = [(title, arms, regime) for title, arms in groups.items() for regime in regimes]
    shares = {id(line): [accuracy(line, place) for place in range(len(line.rounds))] for line in lines}
    with styled():
        figure, all_axes = panels(len(places), most=len(regimes), legend=len(arm_looks))
        for (title, arms, regime), axes in zip(places, all_axes, strict=True):
            axes.set_title(f"{cut(regime, 40)}: {title}")
            shown = [line for line in lines if line.regime == regime and line.arm in arms]
            for place, line in enumerate(shown):
                beside = (place - len(shown) / 2) * 0.006
                _draw(axes, line, shares[id(line)], arm_looks[line.arm], label(labels[line.arm]), beside)
            _scale(axes, [float(line.kept_S_R[:, -1].mean()) for line in shown])
        for place in range(0, len(places), len(regimes)):
            all_axes[place].set_ylabel("accuracy")
        legend_below(figure, all_axes, columns=max(2, min(4, 2 * len(regimes))))
        return Drawing(name, written(figure), _told(lines, shares, labels, subject), _CAPTION)


def _draw(axes: Any, line: Line, shares: Sequence[Estimate], look: Look, name: str, beside: float) -> None:
    kept_R = line.kept_S_R.mean(0)
    at_R = kept_R + beside * kept_R.max() * (kept_R > 0)
    value_R, low_R, high_R = (np.asarray([getattr(one, end) for one in shares]) for end in ("value", "low", "high"))
    style = {"linestyle": look.dashes, "linewidth": look.width, "label": name, **look.mark}
    if look.width > 2:
        axes.fill_between(kept_R, low_R, high_R, color=look.colour, alpha=0.2, linewidth=0)
        axes.plot(kept_R, value_R, **style)
        return
    # What all arms begin with has one interval, which the band shows.
    away_2_R = np.abs(np.stack([value_R - low_R, high_R - value_R]))
    away_2_R[:, 0] = 0
    axes.errorbar(at_R, value_R, yerr=away_2_R, elinewidth=0.9, capsize=1.5, **style)


def _scale(axes: Any, ends: Sequence[float]) -> None:
    """An arm that keeps many times as many samples as most would squeeze the others: logarithmic beyond them."""
    axes.set_xlabel("samples kept")
    usual = max((end for end in ends if end <= _FARTHER * median(ends)), default=0.0)
    if not 0 < usual < max(ends) / _FARTHER:
        return
    decades = math.log10(max(ends) / usual)
    axes.set_xscale("symlog", linthresh=usual, linscale=2 * decades)
    axes.set_xlim(left=-0.04 * usual, right=1.3 * max(ends))
    beyond = [float(f"{usual * 10 ** (decades * part):.1e}") for part in (0.5, 1.0)]
    ticks = [*(tick for tick in MaxNLocator(4).tick_values(0, usual) if 0 <= tick <= usual), *beyond]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.axvline(usual, color=INK, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.set_xlabel(f"samples kept, logarithmic beyond {usual:,.0f}")


def _told(lines: Sequence[Line], shares: Mapping[int, Sequence[Estimate]], labels: Mapping[str, str],
          subject: str) -> str:
    """The best arms of each regime and the one that the study is about; the tables have the others."""
    told = []
    for regime in dict.fromkeys(line.regime for line in lines):
        order = sorted((line for line in lines if line.regime == regime), key=lambda line: -shares[id(line)][-1].value)
        ends = [(labels[line.arm], shares[id(line)][-1]) for place, line in enumerate(order)
                if place < _BEST or line.arm == subject]
        told.append(f"{regime}, accuracy after the last round, of {len(order)} arms: "
                    + ", ".join(f"{arm} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})" for arm, one in ends))
    return "; ".join(told) + "."
