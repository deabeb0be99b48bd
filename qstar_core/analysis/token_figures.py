"""Figures of the traces as PNG: one file a figure, all sources overlaid, told apart by colour and by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qstar_core.analysis.figures import COLOURS, LINES, MARKERS, POINTS, new_axes, plain, save
from qstar_core.analysis.traces import CLASSES, Traces, acceptance, by_position

_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": 2, "borderaxespad": 0}


def draw_token_figures(sources: tuple[Traces, ...], folder: Path) -> tuple[Path, ...]:
    """Nothing where no source has traces."""
    if not sources:
        return ()
    return (_alpha_by_position(sources, folder), _alpha_by_class(sources, folder), _weights(sources, folder),
            _effective(sources, folder), _acceptance(sources, folder))


def _style(index: int) -> dict[str, str]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}


def _alpha_by_position(sources: tuple[Traces, ...], folder: Path) -> Path:
    figure, axes = new_axes("token position in the completion", "α, mean ± standard deviation")
    for index, source in enumerate(sources):
        at, mean, spread = by_position(source, source.columns["alpha"])
        axes.fill_between(at, np.clip(mean - spread, 0, 1), np.clip(mean + spread, 0, 1), alpha=0.14, linewidth=0,
                          color=COLOURS[index % len(COLOURS)])
        axes.plot(at, mean, linewidth=1.8, label=_named(source), **_style(index))
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=9)
    return save(figure, folder / "alpha_by_position.png")


def _alpha_by_class(sources: tuple[Traces, ...], folder: Path) -> Path:
    figure, axes = new_axes("α, mean ± standard deviation", "")
    height = 0.8 / len(sources)
    for index, source in enumerate(sources):
        for place, (name, chosen) in enumerate(source.classes().items()):
            values = source.columns["alpha"][chosen]
            at = CLASSES.index(name) + (index - (len(sources) - 1) / 2) * height
            if len(values):
                axes.errorbar(values.mean(), at, xerr=values.std(), fmt=MARKERS[index % len(MARKERS)], capsize=3,
                              color=COLOURS[index % len(COLOURS)], label=_named(source) if place == 1 else None)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=9, **_ABOVE)
    return save(figure, folder / "alpha_by_class.png")


def _weights(sources: tuple[Traces, ...], folder: Path) -> Path:
    figure, axes = new_axes("importance weight π / q of a drawn token (ends: and beyond)", "share of tokens (%)")
    bins = np.linspace(-2, 2, 61)
    for index, source in enumerate(sources):
        for model, fill in (("theta", 1.8), ("t", 0.9)):
            log10 = np.clip(source.log_weight(model) / np.log(10), -2, 2)
            label = plain(f"{source.label}, {'student' if model == 'theta' else 'teacher'}")
            axes.hist(log10, bins=bins, weights=np.full(len(log10), 100 / len(log10)), histtype="step", linewidth=fill,
                      label=label, color=COLOURS[(2 * index + (model == "t")) % len(COLOURS)],
                      linestyle=LINES[(model == "t") % len(LINES)])
    axes.set_yscale("log")
    axes.set_xticks([-2, -1, 0, 1, 2], ["0.01", "0.1", "1", "10", "100"])
    axes.legend(frameon=False, fontsize=9)
    return save(figure, folder / "importance_weights.png")


def _effective(sources: tuple[Traces, ...], folder: Path) -> Path:
    figure, axes = new_axes("effective size of a sample under the student / its length", "the same under the teacher")
    for index, source in enumerate(sources):
        theta, teacher = source.effective_share("theta"), source.effective_share("t")
        step = -(-len(theta) // POINTS)
        axes.scatter(theta[::step], teacher[::step], s=14, alpha=0.5, linewidths=0, label=_named(source),
                     color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)])
    axes.plot([0, 1], [0, 1], color="#5b636d", linewidth=1, linestyle="--", label="balance")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9)
    return save(figure, folder / "ess_theta_ess_t.png")


def _acceptance(sources: tuple[Traces, ...], folder: Path) -> Path:
    figure, axes = new_axes("token position in the completion", "drafts of the student that are accepted")
    for index, source in enumerate(sources):
        at, mean, _ = by_position(source, np.exp(np.minimum(source.log_weight("theta"), 0.0)))
        axes.plot(at, mean, linewidth=1.8, label=plain(f"{source.label} (mean {acceptance(source, 'theta'):.3f})"),
                  **_style(index))
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=9, **_ABOVE)
    return save(figure, folder / "acceptance.png")


def _named(source: Traces) -> str:
    return plain(f"{source.label} ({source.tokens:,} tokens)")
