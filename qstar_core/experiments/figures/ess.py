"""Figure 2: effective sample size under the student against that under the teacher, with the diagonal of balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qstar_core.experiments.figures.style import INK, Drawing, Look, label, legend_below, panels, styled, written
from qstar_core.experiments.statistics.estimate import Estimate, Values, over_seeds
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import measured
from qstar_core.report.text import cut, number

_POINTS = 80  # of one arm in one regime: more hide each other
_CAPTION = ("One faint mark a sample: the mean over its tokens of ESS under the student and under the teacher. The "
            "large mark is the mean over seeds with its 95 % interval both ways. On the diagonal both are in balance.")


def ess_scatter(lines: Sequence[Line], subject: str, arm_looks: Mapping[str, Look], labels: Mapping[str, str],
                name: str) -> Drawing | None:
    """None where no arm mixed anything."""
    mixed = [line for line in lines if any(cell.mixing is not None and cell.mixing.ess for cell in line.cells)]
    if not mixed:
        return None
    regimes = list(dict.fromkeys(line.regime for line in mixed))
    told = []
    with styled():
        figure, all_axes = panels(len(regimes), height=4.6, share_y=False, legend=len({line.arm for line in mixed}))
        for regime, axes in zip(regimes, all_axes, strict=True):
            shown = [line for line in mixed if line.regime == regime]
            for line in shown:
                _draw(axes, line, arm_looks[line.arm], label(labels[line.arm]))
            told.append(_told(regime, shown, subject, labels))
            edge = 1.05 * max(float(pair_P_2.max()) for line in shown for pair_P_2 in _pairs(line)) or 1.0
            axes.plot([0, edge], [0, edge], color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="balance", zorder=2)
            axes.set(title=cut(regime, 40), xlim=(0, edge), ylim=(0, edge), xlabel="ESS under the student",
                     aspect="equal")
        all_axes[0].set_ylabel("ESS under the teacher")
        legend_below(figure, all_axes, columns=max(2, min(4, 2 * len(regimes))))
        return Drawing(name, written(figure), "; ".join(told) + ".", _CAPTION)


def _told(regime: str, shown: Sequence[Line], subject: str, labels: Mapping[str, str]) -> str:
    """The arm that the study is about, and the two ends; the table has the others."""
    found = {line.arm: ratio.value for line in shown if (ratio := measured(line, "ess_ratio")) is not None}
    low, high = min(found, key=lambda arm: found[arm]), max(found, key=lambda arm: found[arm])
    named = dict.fromkeys([*([subject] if subject in found else []), low, high])
    return f"{regime}, ESS ratio, of {len(found)} arms that mix: " + ", ".join(
        f"{labels[arm]} {number(found[arm])}" for arm in named)


def _pairs(line: Line) -> list[Values]:
    """[samples, 2] of each seed that has any."""
    return [np.asarray(cell.mixing.ess, dtype=np.float64) for cell in line.cells
            if cell.mixing is not None and cell.mixing.ess]


def _draw(axes: Any, line: Line, look: Look, name: str) -> None:
    pairs = _pairs(line)
    together_P_2 = np.concatenate(pairs)
    step = -(-len(together_P_2) // _POINTS)
    axes.scatter(*together_P_2[::step].T, s=14, alpha=0.4, linewidths=0.8 if look.hollow else 0, zorder=1,
                 facecolors="none" if look.hollow else look.colour, edgecolors=look.colour, marker=look.marker)
    theta, teacher = (over_seeds(np.asarray([pair_P_2[:, side].mean() for pair_P_2 in pairs])) for side in (0, 1))
    above = 4 if look.width > 2 else 3  # every faint mark; and the arm that the study is about above all
    axes.errorbar(theta.value, teacher.value, xerr=_arms(theta), yerr=_arms(teacher), fmt="none", ecolor=look.colour,
                  capsize=3, zorder=above)
    axes.plot(theta.value, teacher.value, linestyle="none", label=name, zorder=above,
              **look.mark | {"markersize": 9, "markeredgecolor": look.colour if look.hollow else INK})


def _arms(found: Estimate) -> Any:
    return None if found.low is None or found.high is None else [[found.value - found.low], [found.high - found.value]]
