"""The figures of a loop's page, drawn as those of a version's report are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from matplotlib.ticker import MaxNLocator

from qstar_core.config import SetRole
from qstar_core.loop.summary import Row, Summary
from qstar_core.report.charts import BAND, TEACHER, THETA, Chart, label, svg
from qstar_core.report.text import number

_COLOURS = {SetRole.TARGET: THETA, SetRole.GUARD: TEACHER, SetRole.REPORT: BAND}
_MARKERS = ("o", "s", "^", "D")


def charts(summary: Summary) -> tuple[Chart, ...]:
    drawn = (_measures(summary), _alpha(summary), _kl(summary), _cost(summary))
    return tuple(chart for chart in drawn if chart is not None)


def _measures(summary: Summary) -> Chart:
    told = []

    def draw(axes: Any) -> None:
        for marker, (name, role) in zip(_MARKERS * len(summary.sets), summary.sets, strict=False):
            series = list(_series(summary.rows, f"{name}/{summary.figure}"))
            if not series:
                continue
            x, value, low, high = zip(*series, strict=True)
            axes.fill_between(x, low, high, color=_COLOURS[role], alpha=0.15, linewidth=0)
            axes.plot(x, value, marker=marker, markersize=4.5, color=_COLOURS[role], linewidth=1.6, label=name)
            told.append(f"{name} from {number(value[0])} to {number(value[-1])}")
        refused = [(row.number, row.refused.value) for row in summary.rows if row.refused is not None]
        if refused:
            axes.plot(*zip(*refused, strict=True), linestyle="none", marker="x", color=THETA, label="refused")
        if summary.figure == "accuracy":
            axes.set_ylim(0, 1.02)
        _rounds(axes, summary.figure)

    src = svg(draw)
    return Chart("measure", f"{summary.figure.capitalize()} of the line’s student", src, f"{'; '.join(told)}.",
                 "On the problems that never decide, with 95 % intervals. Round 0 is the student at the beginning.")


def _alpha(summary: Summary) -> Chart | None:
    rows = [(one.number, one.refreshed.alpha, one.refreshed.divergent) for one in summary.rounds
            if one.refreshed.alpha is not None]
    if not rows:
        return None
    x, alpha, divergent = zip(*rows, strict=True)

    def draw(axes: Any) -> None:
        axes.plot(x, alpha, marker="o", markersize=4.5, color=TEACHER, linewidth=1.6, label="α, the teacher’s weight")
        if None not in divergent:
            axes.plot(x, divergent, marker="s", markersize=4.5, color=BAND, linewidth=1.6,
                      label="share of tokens where the models differ")
        axes.set_ylim(0, 1.02)
        _rounds(axes, "mean over tokens")

    return Chart("alpha", "α", svg(draw), f"Mean α from {number(alpha[0])} to {number(alpha[-1])}.",
                 "Models differ where the total variation of their distributions is above 0.05.")


def _kl(summary: Summary) -> Chart | None:
    rows = [(one.number, one.refreshed.kl_theta, one.refreshed.kl_t) for one in summary.rounds
            if one.refreshed.kl_theta is not None and one.refreshed.kl_t is not None]
    if not rows:
        return None
    x, theta, teacher = zip(*rows, strict=True)

    def draw(axes: Any) -> None:
        axes.plot(x, theta, marker="o", markersize=4.5, color=THETA, linewidth=1.6, label="q to the student")
        axes.plot(x, teacher, marker="s", markersize=4.5, linestyle="--", color=TEACHER, linewidth=1.6,
                  label="q to the teacher")
        axes.set_ylim(0, 1.1 * max(*theta, *teacher) or 1)
        _rounds(axes, "mean KL per token (nats)")

    return Chart("kl", "KL, both ways", svg(draw),
                 f"KL of q to the student from {number(theta[0])} to {number(theta[-1])}, to the teacher from "
                 f"{number(teacher[0])} to {number(teacher[-1])}.",
                 "The student approaches the teacher where both fall.")


def _cost(summary: Summary) -> Chart | None:
    if not summary.tokens:
        return None
    tokens = list(accumulate(row.tokens for row in summary.rows))
    values = [row.measures[summary.target].value for row in summary.rows]

    def draw(axes: Any) -> None:
        axes.plot(tokens, values, marker="o", markersize=4.5, color=THETA, linewidth=1.6)
        if summary.figure == "accuracy":
            axes.set_ylim(0, 1.02)
        label(axes, "tokens drawn from q*, all rounds so far", summary.target)

    return Chart("cost", "What the gain cost", svg(draw),
                 f"{summary.target} from {number(values[0])} to {number(values[-1])} for {summary.tokens:,} tokens.",
                 f"{summary.tokens:,} tokens and {summary.seconds:,.0f} s of work in {len(summary.rounds)} rounds.")


def _series(rows: Sequence[Row], name: str) -> Iterator[tuple[int, float, float, float]]:
    for row in rows:
        measure = row.measures.get(name)
        if measure is not None:
            value = measure.value
            yield (row.number, value, value if measure.low is None else measure.low,
                   value if measure.high is None else measure.high)


def _rounds(axes: Any, y: str) -> None:
    label(axes, "round", y, legend=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
