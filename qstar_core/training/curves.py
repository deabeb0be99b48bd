"""The curves of a run: the loss (and, with a reward, that) by step, and a picture of them."""

from __future__ import annotations

import base64
import io
from collections import defaultdict

_SHOWN = ("loss", "eval_loss", "reward", "eval_reward")


class Curves:
    def __init__(self) -> None:
        self._points: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def add(self, step: int, metrics: dict[str, float]) -> None:
        for name in _SHOWN:
            if name in metrics:
                self._points[name].append((step, metrics[name]))

    @property
    def told(self) -> str:
        """First and last value of each."""
        return ", ".join(f"{name} {points[0][1]:.4g} → {points[-1][1]:.4g}" for name, points in self._points.items())

    def picture(self) -> str | None:
        """An SVG as a data address."""
        if not self._points:
            return None
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        for name, points in self._points.items():
            axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 3 else None)
        axes.set_xlabel("step")
        axes.legend(frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()
