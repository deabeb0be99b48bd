"""Results of a study that was never run: students whose chance of a right answer is known, so that laws can be held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qstar_core.experiments.records import Cell, CellResult, Mixing, Point

MIXING = Mixing(alpha=(0.4, 0.5, 0.6), ess=((0.8, 0.81), (0.7, 0.72), (0.9, 0.88)),
                alpha_by_position=((0.5, 0.3, 0.7, 40), (0.45, 0.2, 0.6, 40), (0.6, 0.5, 0.8, 22)), ess_ratio=1.0,
                alpha_within=0.9, leaked=0.1, dropped={"wrong answer": 12})


def cells(arms: Sequence[str], regimes: Sequence[str] = ("gap",), seeds: Sequence[int] = (0, 1, 2),
          study: str = "main", axes: Mapping[str, Any] | None = None) -> tuple[Cell, ...]:
    return tuple(Cell(study=study, regime=regime, arm=arm, seed=seed, axes=dict(axes or {}))
                 for regime in regimes for arm in arms for seed in seeds)


def planted(wanted: Sequence[Cell], final: Mapping[str, float], *, world: int = 0, problems: int = 60, rounds: int = 3,
            start: float = 0.3, noise: float = 0.0, hard: float = 0.8, kept: int = 100,
            mixing: Mapping[str, Mixing | None] | None = None, **point: Any) -> tuple[CellResult, ...]:
    """`final` is each arm's chance after the last round, `noise` the spread of that chance between seeds, `hard` how
    much problems differ. Cells of a regime and seed share the problems and the first student."""
    made = []
    for cell in wanted:
        common = np.random.default_rng([world, _code(cell.regime), 1])
        hard_N = hard * common.standard_normal(problems)
        begun = np.random.default_rng([world, _code(cell.regime), cell.seed, 2]).random(problems)
        own = np.random.default_rng([world, _code(cell.regime + cell.arm + str(sorted(cell.axes.items()))), cell.seed])
        end = final[cell.arm] + noise * own.standard_normal()
        points = []
        for number in range(rounds + 1):
            share = start + (end - start) * number / rounds
            luck_N = begun if number == 0 else own.random(problems)
            right_N = luck_N < _chance(share, hard_N)
            points.append(_point(number, right_N, kept * number, **point))
        made.append(CellResult(
            key=f"{world}-{cell.regime}-{cell.arm}-{cell.seed}-{sorted(cell.axes.items())}", cell=cell,
            points=tuple(points), mixing=(mixing or {}).get(cell.arm, MIXING), wall_seconds=12.0 + cell.seed,
            cpu_seconds=11.0, code_version="0.1.0", created="2026-01-01T00:00:00+00:00"))
    return tuple(made)


def _point(number: int, right_N: Any, kept: int, **changed: Any) -> Point:
    told = {"gradient_variance": 0.5 + 0.01 * number if number else None, "kl_initial": 0.1 * number, **changed}
    return Point(round=number, drawn=2 * kept, kept=kept, tokens=20 * kept, right=tuple(bool(one) for one in right_N),
                 measures={"target/accuracy": float(right_N.mean()), "guard/accuracy": 0.8 - 0.01 * number,
                           "target/hedging": 0.02, "target/leaks": 0.05},
                 sampling_seconds=2.0, training_seconds=3.0, **told)


def _chance(share: float, hard_N: Any) -> Any:
    share = min(max(share, 0.02), 0.98)
    return 1 / (1 + np.exp(-(np.log(share / (1 - share)) + hard_N)))


def _code(text: str) -> int:
    return int.from_bytes(text.encode()[:40], "big") % 2**31 + len(text)
