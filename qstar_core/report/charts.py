"""The figures of a report: SVG without scripts, fonts or outside references, and the same bytes for the same data.

Colours are variables set inside each image for light and for dark, because an image does not see the page's styles.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from qstar_core.report.data import ShownSample, Summaries, Values
from qstar_core.report.text import number, percent

ALPHA_RANGE = (0.2, 0.8)
ESS_RANGE = (0.8, 1.2)

# Placeholder in the drawing -> its light and its dark colour (Okabe-Ito, lightened for dark).
INK, RULE, THETA, TEACHER, BAND = "#010101", "#020202", "#030303", "#040404", "#050505"
_PALETTE = {
    INK: ("#4a5058", "#b4bac2"),
    RULE: ("#d5d9de", "#363d46"),
    THETA: ("#0072b2", "#56b4e9"),
    TEACHER: ("#d55e00", "#f0954a"),
    BAND: ("#009e73", "#3fc79f"),
}
_FONT = re.compile(r"font: ([\d.]+px) [^;\"]*")


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure. `text` tells a reader who cannot see it what it shows; `key` names it in every version."""

    key: str
    title: str
    src: str
    text: str
    caption: str


def charts(summaries: Summaries, samples: Sequence[ShownSample]) -> tuple[Chart, ...]:
    """All figures for which there is data."""
    drawn = (_alpha_chart(summaries), _ess_chart(summaries), _kl_chart(summaries), _position_chart(samples))
    return tuple(chart for chart in drawn if chart is not None)


def _alpha_chart(summaries: Summaries) -> Chart | None:
    values = _finite(summaries["alpha_mean"])
    if not len(values):
        return None

    def draw(axes: Any) -> None:
        axes.axvspan(*ALPHA_RANGE, color=BAND, alpha=0.1, linewidth=0)
        axes.hist(values, bins=np.linspace(0, 1, 41), color=THETA)
        axes.set_xlim(0, 1)
        label(axes, "mean α of a sample", "samples")

    return Chart("alpha", "α, the teacher’s weight", svg(draw), f"Histogram of mean α. {_spread(values)}",
                 f"{percent(share_within(values, ALPHA_RANGE))} of samples lie in the shaded range 0.2 to 0.8.")


def _ess_chart(summaries: Summaries) -> Chart | None:
    every = _finite(summaries["ess_ratio_mean"])
    divergent = _finite(summaries["divergent_ess_ratio_mean"])
    if not len(every):
        return None

    def draw(axes: Any) -> None:
        bins = np.linspace(0, 2, 41)
        axes.axvspan(*ESS_RANGE, color=BAND, alpha=0.1, linewidth=0)
        # The last bin collects what lies above, so that no sample is missing from the picture.
        axes.hist(np.clip(every, 0, 2), bins=bins, color=THETA, label="all tokens")
        if len(divergent):
            axes.hist(np.clip(divergent, 0, 2), bins=bins, histtype="step", linewidth=1.6, color=TEACHER,
                      label="where the models differ")
        axes.set_xlim(0, 2)
        label(axes, "mean ESS ratio θ / t of a sample (2: 2 or more)", "samples", legend=True)

    return Chart("ess-ratio", "ESS ratio", svg(draw), f"Histogram of the ESS ratio. {_spread(every)}",
                 f"In the shaded range 0.8 to 1.2: {percent(share_within(every, ESS_RANGE))} of samples over all "
                 f"tokens, {percent(share_within(divergent, ESS_RANGE))} over tokens where the models differ.")


def _kl_chart(summaries: Summaries) -> Chart | None:
    theta, teacher = _finite(summaries["kl_theta_mean"]), _finite(summaries["kl_t_mean"])
    if not len(theta) or not len(teacher):
        return None

    def draw(axes: Any) -> None:
        top = max(float(np.max(theta)), float(np.max(teacher)), 1e-6)
        bins = np.linspace(0, top, 41)
        axes.hist(theta, bins=bins, color=THETA, alpha=0.85, label="to the student")
        axes.hist(teacher, bins=bins, histtype="step", linewidth=1.6, color=TEACHER, label="to the teacher")
        axes.set_xlim(0, top)
        label(axes, "mean KL of q to a model, by sample (nats)", "samples", legend=True)

    gap = float(np.mean(theta) - np.mean(teacher))
    return Chart("kl", "KL, both ways", svg(draw),
                 f"Histograms of both divergences. To the student: {_spread(theta)} To the teacher: {_spread(teacher)}",
                 f"Means {number(float(np.mean(theta)))} and {number(float(np.mean(teacher)))}, "
                 f"difference {number(gap)}. Where α is solved for KL symmetry the two agree.")


def _position_chart(samples: Sequence[ShownSample]) -> Chart | None:
    traces = [np.asarray(s.trace.alpha, dtype=np.float64) for s in samples if s.trace is not None and len(s.trace)]
    if not traces:
        return None
    longest = max(map(len, traces))
    width = math.ceil(longest / 120)
    rows = []
    for start in range(0, longest, width):
        values = np.concatenate([alpha[start : start + width] for alpha in traces])
        values = values[np.isfinite(values)]
        if len(values):
            rows.append((start + (width + 1) / 2, *np.quantile(values, (0.1, 0.5, 0.9))))
    if not rows:
        return None
    position, low, middle, high = np.asarray(rows).T

    def draw(axes: Any) -> None:
        axes.fill_between(position, low, high, color=THETA, alpha=0.2, linewidth=0, label="10 to 90 %")
        axes.plot(position, middle, color=THETA, linewidth=1.6, label="median")
        axes.set_xlim(1, max(longest, 2))
        axes.set_ylim(0, 1)
        label(axes, "token position in the completion", "α", legend=True)

    return Chart("alpha-by-position", "α along the completion", svg(draw),
                 f"Median of α by token position with a band from 10 to 90 percent; "
                 f"{number(float(middle[0]))} at the start, {number(float(middle[-1]))} at position {longest}.",
                 f"Over the {len(traces):,} samples that are told token by token below; fewer samples reach the later "
                 f"positions{f', {width} positions a point' if width > 1 else ''}.")


def _finite(values: Values) -> Values:
    found: Values = values[np.isfinite(values)]
    return found


def share_within(values: Values, limits: tuple[float, float]) -> float | None:
    """Of those that are numbers; ends included."""
    known = values[~np.isnan(values)]
    return float(np.mean((known >= limits[0]) & (known <= limits[1]))) if len(known) else None


def _spread(values: Values) -> str:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return f"{len(values):,} samples, median {number(middle)}, 90 percent between {number(low)} and {number(high)}."


def label(axes: Any, x: str, y: str, *, legend: bool = False) -> None:
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    if y == "samples":
        axes.yaxis.get_major_locator().set_params(integer=True)
    if legend:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2,
                    borderaxespad=0, handlelength=1.4)


def svg(draw: Callable[[Any], None]) -> str:
    """Draw on fresh axes and return the picture as a data address."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "qstar", "font.size": 10}):
        figure = Figure(figsize=(6.0, 3.1), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True,
                       metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawing = buffer.getvalue()
    drawing = _FONT.sub(r"font: \1 system-ui, sans-serif", drawing[drawing.index("<svg") :])
    for place, (light, _) in _PALETTE.items():
        drawing = drawing.replace(place, f"var(--c{place[-1]}, {light})")
    drawing = re.sub(r"(<svg[^>]*>)", lambda tag: tag.group(1) + _style(), drawing, count=1)
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")


def _style() -> str:
    light, dark = ("".join(f"--c{place[-1]}:{pair[i]};" for place, pair in _PALETTE.items()) for i in (0, 1))
    return f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
