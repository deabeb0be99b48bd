"""Scores made of given outcomes, without a model."""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.config import SetRole
from qstar_core.evaluation.intervals import measured
from qstar_core.evaluation.measures.registry import measurement_of
from qstar_core.evaluation.score import Parts, Score, SetScore

Values = Sequence[float]


def parts(values: Values) -> Parts:
    return tuple((float(value), 1.0) for value in values)


def set_score(name: str, role: SetRole, replies: Sequence[str] | None = None, **figures: Values) -> SetScore:
    count = len(next(iter(figures.values())))
    return SetScore(name=name, role=role, prompts=tuple(f"{name}-{i}" for i in range(count)),
                    replies=tuple(replies or [""] * count),
                    outcomes={figure.replace("_at_", "@"): parts(values) for figure, values in figures.items()})


def score(sha: str, *sets: SetScore, suite: str = "suite", final: bool = False) -> Score:
    measures = [measured(f"{one.name}/{figure}", found, measurement_of(figure).transform, 0.95)
                for one in sets for figure, found in one.outcomes.items()]
    return Score(model=sha, sha256=sha, checkpoint=sha, suite=suite, final=final, measures=tuple(measures), sets=sets,
                 code_version="test", created="2026-01-01T00:00:00+00:00")


def student(sha: str, right: Values, second: Values | None = None, length: float = 10.0, suite: str = "suite") -> Score:
    """A target set and a guard set with everything that default promotion asks for."""
    second = right if second is None else second
    zeros = [0.0] * len(right)
    return score(
        sha,
        set_score("target", SetRole.TARGET, accuracy=right, hedging=zeros, leaks=zeros, length=[length] * len(right)),
        set_score("second", SetRole.GUARD, accuracy=second, hedging=[0.0] * len(second), leaks=[0.0] * len(second)),
        suite=suite)
