"""Figure 3: α over the positions of a completion, one panel a regime.

Every arm that mixes has its mean with the 95 % interval over seeds; the arm that the study is about also the band from
the 10th to the 90th percentile of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qstar_core.experiments.figures.style import Drawing, Look, label, legend_below, panels, styled, written
from qstar_core.experiments.statistics.estimate import Values, quantile
from qstar_core.experiments.statistics.lines import Line
from qstar_core.report.text import cut

_APART = 8  # positions between two marks of a line
_FEWEST = 0.05  # of the samples must be as long as that, or a position is left out
_CAPTION = ("α is the teacher's weight. Lines are means with 95 % intervals over seeds; the wide band is the middle "
            "80 % of the tokens of {subject}. Positions that fewer than 5 % of the samples reach are left out.")


def alpha_by_position(lines: Sequence[Line], subject: str, arm_looks: Mapping[str, Look],
                      labels: Mapping[str, str], name: str) -> Drawing | None:
    """None where no arm mixed anything."""
    mixed = [line for line in lines if _tables(line)]
    if not mixed:
        return None
    regimes = list(dict.fromkeys(line.regime for line in mixed))
    told = []
    with styled():
        figure, all_axes = panels(len(regimes), legend=len({line.arm for line in mixed}))
        for regime, axes in zip(regimes, all_axes, strict=True):
            shown = [line for line in mixed if line.regime == regime]
            means = {line.arm: _draw(axes, line, arm_looks[line.arm], label(labels[line.arm]), line.arm == subject,
                                     place) for place, line in enumerate(shown)}
            told.append(_told(regime, means, subject, labels))
            axes.set(title=cut(regime, 40), ylim=(-0.02, 1.02), xlabel="position of the token")
        all_axes[0].set_ylabel("α, the teacher's weight")
        legend_below(figure, all_axes, columns=max(2, min(4, 2 * len(regimes))))
        return Drawing(name, written(figure), "; ".join(told) + ".", _CAPTION.format(subject=labels[subject]))


def _told(regime: str, means: Mapping[str, Values], subject: str, labels: Mapping[str, str]) -> str:
    """The arm that the study is about; the others only by where they lie."""
    parts = []
    if subject in means:
        mean_P = means[subject]
        parts.append(f"α of {labels[subject]} from {mean_P[0]:.2f} at the first token to {mean_P[-1]:.2f}, between "
                     f"{mean_P.min():.2f} and {mean_P.max():.2f}")
    others = [mean_P for arm, mean_P in means.items() if arm != subject]
    if others:
        parts.append(f"those of {len(others)} other arms between {min(one.min() for one in others):.2f} and "
                     f"{max(one.max() for one in others):.2f}")
    return f"{regime}: {', '.join(parts)}"


def _tables(line: Line) -> list[Values]:
    """[positions, 4] of each seed that mixed."""
    return [np.asarray(cell.mixing.alpha_by_position, dtype=np.float64) for cell in line.cells
            if cell.mixing is not None and cell.mixing.alpha_by_position]


def _draw(axes: Any, line: Line, look: Look, name: str, band: bool, place: int) -> Values:
    tables = _tables(line)
    shortest = min(len(table_P_4) for table_P_4 in tables)
    table_S_P_4 = np.stack([table_P_4[:shortest] for table_P_4 in tables])
    count_S_P = table_S_P_4[:, :, 3]
    length = max(1, int((count_S_P.sum(0) >= _FEWEST * count_S_P.sum(0).max()).cumprod().sum()))
    at, each_S_P = np.arange(1, length + 1), table_S_P_4[:, :length, 0]
    mean_P = each_S_P.mean(0)
    if band:
        low_P, high_P = (table_S_P_4[:, :length, side].mean(0) for side in (1, 2))
        axes.fill_between(at, low_P, high_P, color=look.colour, alpha=0.15, linewidth=0)
    if len(tables) > 1:
        away_P = quantile(len(tables) - 1) * each_S_P.std(0, ddof=1) / np.sqrt(len(tables))
        axes.fill_between(at, np.clip(mean_P - away_P, 0, 1), np.clip(mean_P + away_P, 0, 1), color=look.colour,
                          alpha=0.25, linewidth=0)
    axes.plot(at, mean_P, linestyle=look.dashes, linewidth=look.width, label=name, markevery=(place % _APART, _APART),
              **look.mark)
    return np.asarray(mean_P)
