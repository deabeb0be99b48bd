"""How far one candidate came: the first filter that dropped it, and what was measured and logged on the way.

`advance` takes a block of candidates through filters in turn; each filter sees, in the order of the round, what those
before it kept. It runs alike in this process and in a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qstar_core.config import Action
from qstar_core.filters.base import Candidate, Filter, Finding, Judgement, Options
from qstar_core.records import Outcome


@dataclass(frozen=True, slots=True)
class Step:
    """A configured filter."""

    name: str
    action: Action
    filter: Filter[Options]


@dataclass(slots=True)
class Progress:
    outcome: Outcome = Outcome.KEPT
    stage: str = ""
    reason: str = ""
    score: float | None = None
    duplicate_of: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    logged: dict[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return self.outcome is Outcome.KEPT

    def apply(self, step: Step, judgement: Judgement) -> None:
        if judgement is None:
            return
        finding = judgement if isinstance(judgement, Finding) else Finding(judgement)
        if finding.score is not None:
            self.scores[step.name] = finding.score
        if finding.reason is None:
            return
        if step.action is Action.LOG:
            self.logged[step.name] = finding.reason
        else:
            self.outcome, self.stage = Outcome.DROPPED, step.name
            self.reason, self.score, self.duplicate_of = finding.reason, finding.score, finding.duplicate_of


def advance(steps: Sequence[Step], candidates: Sequence[Candidate], states: Sequence[Progress]) -> None:
    for step in steps:
        alive = [(candidate, state) for candidate, state in zip(candidates, states, strict=True) if state.alive]
        if not alive:
            return
        judgements = step.filter.judge_many([candidate for candidate, _ in alive])
        for (_, state), judgement in zip(alive, judgements, strict=True):
            state.apply(step, judgement)
