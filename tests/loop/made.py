"""Records of rounds that never ran."""

from __future__ import annotations

from typing import Any

from qstar_core.evaluation.score import Measure
from qstar_core.loop.records import Begun, Concluded, Evaluated, Refreshed, Retrained, Round
from qstar_core.promotion.decision import Decision, Reason
from qstar_core.records import Checkpoint, DatasetVersion


def measure(name: str, value: float) -> Measure:
    return Measure(name=name, value=value, low=value - 0.05, high=value + 0.05, n=100, method="wilson")


def measures(stories: float, sorting: float = 0.75) -> tuple[Measure, ...]:
    return measure("stories/accuracy", stories), measure("sorting/accuracy", sorting)


def begun_of(stories: float = 0.4, **fields: Any) -> Begun:
    values = {"line": "night", "loop": "1", "identity": "i", "settings": {}, "turns": 0,
              "first": Checkpoint(uri="first", sha256="0"), "final": measures(stories), "created": "2026-01-01"}
    return Begun(**(values | fields))


def round_of(number: int, *, promoted: bool, stories: float = 0.5, reason: str = "told", told: str = "no gain",
             alpha: float | None = 0.4) -> Round:
    version = DatasetVersion(dataset="d", version=f"{number}-aa", uri="u", manifest_sha256="m", rows=80)
    decision = Decision(old="0", new=str(number), suite="s",
                        reasons=(Reason(name="stories/accuracy better", passed=promoted, told=reason),))
    return Round(
        number,
        Refreshed(version=version, student="0", samples=90, tokens=100, alpha=alpha, kl_theta=alpha, kl_t=alpha,
                  divergent=alpha, seconds=4.0),
        Retrained(checkpoint=Checkpoint(uri="c", sha256=str(number), id="ab", line="night", recipe="sft"), seconds=3.0),
        Evaluated(decision=decision, before=measures(0.4), after=measures(stories), final=measures(stories), kl=None,
                  seconds=3.0),
        Concluded(promotion=number if promoted else None, told="" if promoted else told))
