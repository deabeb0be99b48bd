"""Figures of diagnostics as PNG: one file a figure, all sources overlaid, told apart by colour and by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qstar_core.analysis.load import Diagnostics
from qstar_core.analysis.statistics import ALPHA_RANGE, ESS_RANGE

# Okabe-Ito, in an order that also differs in lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
POINTS = 5_000


def draw_figures(sources: tuple[Diagnostics, ...], folder: Path) -> tuple[Path, ...]:
    """Write every figure for which some source has the columns, and return their paths."""
    written: list[Path] = []
    for name, limits, label in (("alpha_mean", ALPHA_RANGE, "mean α of a sample (0 student, 1 teacher)"),
                                ("ess_ratio_mean", ESS_RANGE, "mean ESS ratio θ / t of a sample"),
                                ("kl_theta_mean", None, "mean KL(q‖π_θ) of a sample (nats)"),
                                ("kl_t_mean", None, "mean KL(q‖π_t) of a sample (nats)"),
                                ("log_z_sum", None, "Σ log Z of a sample")):
        shown = [source for source in sources if len(source.finite(name))]
        if shown:
            figure, axes = new_axes(label, "share of samples per bin (%)")
            _histogram(axes, shown, name, limits)
            written.append(save(figure, folder / f"{name}.png"))
    both = [source for source in sources if len(_kl_pairs(source)[0])]
    if both:
        figure, axes = new_axes(r"mean KL$(q\,\|\,\pi_\theta)$ of a sample (nats)",
                             r"mean KL$(q\,\|\,\pi_t)$ of a sample (nats)")
        _scatter(axes, both)
        written.append(save(figure, folder / "kl_theta_kl_t.png"))
    return tuple(written)


def new_axes(x: str, y: str) -> tuple[Any, Any]:
    figure = Figure(figsize=(7.0, 4.4), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#e3e5e8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _histogram(axes: Any, sources: list[Diagnostics], name: str, limits: tuple[float, float] | None) -> None:
    values = [source.finite(name) for source in sources]
    together = np.concatenate(values)
    near, far = np.quantile(together, (0.01, 0.99))
    # A few far outliers would squeeze everything else into one bin; they are counted at the edge instead.
    least = 1.0 if limits else 1e-9
    low = max(min(0.0, float(together.min())), min(0.0, 2 * float(near)))
    top = min(max(least if low == 0 or limits else 0.0, float(together.max())), max(least, 2 * float(far)))
    bins = np.linspace(low, top, 41)
    if limits:
        axes.axvspan(*limits, color="#009E73", alpha=0.08, linewidth=0, label=f"{limits[0]} to {limits[1]}")
    for index, (source, found) in enumerate(zip(sources, values, strict=True)):
        axes.hist(np.clip(found, low, top), bins=bins, weights=np.full(len(found), 100 / len(found)),
                  histtype="step", linewidth=1.8, color=COLOURS[index % len(COLOURS)],
                  linestyle=LINES[index % len(LINES)], label=plain(f"{source.label} (n = {len(found):,})"))
    axes.set_xlim(low, top)
    axes.legend(frameon=False, fontsize=9)


def _scatter(axes: Any, sources: list[Diagnostics]) -> None:
    top = 0.0
    for index, source in enumerate(sources):
        theta, teacher = _kl_pairs(source)
        step = -(-len(theta) // POINTS)
        top = max(top, float(theta.max()), float(teacher.max()))
        axes.scatter(theta[::step], teacher[::step], s=14, alpha=0.55, linewidths=0,
                     color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)],
                     label=plain(f"{source.label} (n = {len(theta):,})"))
    edge = 1.05 * top or 1.0
    axes.plot([0, edge], [0, edge], color="#5b636d", linewidth=1, linestyle="--", label="KL symmetry")
    axes.set_xlim(0, edge)
    axes.set_ylim(0, edge)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9)


def _kl_pairs(source: Diagnostics) -> tuple[Any, Any]:
    theta, teacher = source.columns.get("kl_theta_mean"), source.columns.get("kl_t_mean")
    if theta is None or teacher is None:
        return np.empty(0), np.empty(0)
    both = np.isfinite(theta) & np.isfinite(teacher)
    return theta[both], teacher[both]


def plain(label: str) -> str:
    """A file name is no formula, and one that begins with `_` still belongs in the legend."""
    return "\u200b" + label.replace("$", r"\$")


def save(figure: Any, path: Path) -> Path:
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    return path
