"""What is measured of every cell besides its answers: one value a seed, for the tables, verdicts and explanations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qstar_core.experiments.records import CellResult, Mixing, Point
from qstar_core.experiments.statistics.estimate import Estimate, Values, over_seeds
from qstar_core.experiments.statistics.lines import Line

Take = Callable[[CellResult], float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """`key` names it in the code, `title` on the page. `take` gives None where a cell has no such value."""

    key: str
    title: str
    take: Take


def of_mixing(take: Callable[[Mixing], float | None]) -> Take:
    return lambda cell: None if cell.mixing is None else take(cell.mixing)


def _last(name: str) -> Take:
    return lambda cell: cell.points[-1].measures.get(name)


def _forgotten(cell: CellResult) -> float | None:
    first, last = (point.measures.get("guard/accuracy") for point in (cell.points[0], cell.points[-1]))
    return None if first is None or last is None else first - last


def _gradient(cell: CellResult) -> float | None:
    found = [point.gradient_variance for point in cell.points if point.gradient_variance is not None]
    return float(np.mean(found)) if found else None


def _kept(cell: CellResult) -> float | None:
    last = cell.points[-1]
    return last.kept / last.drawn if last.drawn else None


def _alpha(mixing: Mixing) -> float | None:
    return float(np.mean(mixing.alpha)) if mixing.alpha else None


def _spread(mixing: Mixing) -> float | None:
    return float(np.std(mixing.alpha)) if mixing.alpha else None


def _seconds(take: Callable[[Point], float]) -> Take:
    return lambda cell: sum(take(point) for point in cell.points)


_ALL = (
    Measured("ess_ratio", "ESS ratio θ / t", of_mixing(lambda mixing: mixing.ess_ratio)),
    Measured("alpha", "mean α", of_mixing(_alpha)),
    Measured("alpha_spread", "spread of α (standard deviation)", of_mixing(_spread)),
    Measured("alpha_within", "share of α in its range", of_mixing(lambda mixing: mixing.alpha_within)),
    Measured("leaked", "leaks in the samples", of_mixing(lambda mixing: mixing.leaked)),
    Measured("kept", "share of draws kept", _kept),
    Measured("gradient", "gradient variance", _gradient),
    Measured("kl", "KL(student‖initial), nats a token", lambda cell: cell.points[-1].kl_initial),
    Measured("forgetting", "forgetting (loss on the guard)", _forgotten),
    Measured("leaks", "leaks in the replies", _last("target/leaks")),
    Measured("hedging", "hedging in the replies", _last("target/hedging")),
    Measured("sampling", "sampling, s", _seconds(lambda point: point.sampling_seconds)),
    Measured("training", "training, s", _seconds(lambda point: point.training_seconds)),
    Measured("wall", "wall time, s", lambda cell: cell.wall_seconds),
)
MEASURES = {measure.key: measure for measure in _ALL}


def values_of(line: Line, measure: Measured) -> dict[int, float]:
    """By seed, of the cells that have one."""
    found = {seed: measure.take(cell) for seed, cell in zip(line.seeds, line.cells, strict=True)}
    return {seed: value for seed, value in found.items() if value is not None}


def measured(line: Line, key: str) -> Estimate | None:
    """None where no cell of the line has one."""
    values = values_of(line, MEASURES[key])
    return over_seeds(np.asarray(list(values.values()))) if values else None


def paired(a: Line, b: Line, key: str) -> tuple[Values, Values] | None:
    """The values of both at the seeds that both have one at; None where there is none."""
    ours, theirs = values_of(a, MEASURES[key]), values_of(b, MEASURES[key])
    seeds = [seed for seed in ours if seed in theirs]
    return (np.asarray([ours[seed] for seed in seeds]), np.asarray([theirs[seed] for seed in seeds])) if seeds else None
