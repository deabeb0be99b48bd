"""Which of two replies is better, by a reward model: the judge of pairwise experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstar_core.errors import ConfigError
from qstar_core.records import Message
from qstar_core.reward.model import RewardModel


class Preferred(StrEnum):
    FIRST = "first"
    SECOND = "second"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Opinion:
    """`probability` is that the first is better; None from a model that is not calibrated."""

    preferred: Preferred
    difference: float
    probability: float | None


class RewardJudge:
    """A score is the same whichever place its reply stands in, so the order needs no shuffling. Scores within `tie` of
    each other are a tie."""

    def __init__(self, model: RewardModel, tie: float = 0.0) -> None:
        if not tie >= 0:
            raise ConfigError(f"a tie within {tie} makes no sense", "give 0 or more")
        self._model = model
        self._tie = tie

    def __call__(self, prompts: Sequence[Sequence[Message]], first: Sequence[str],
                 second: Sequence[str]) -> list[Opinion]:
        scores = self._model.score([*prompts, *prompts], [*first, *second])
        return [self._opinion(one, other)
                for one, other in zip(scores[: len(first)], scores[len(first) :], strict=True)]

    def _opinion(self, first: float, second: float) -> Opinion:
        difference = first - second
        preferred = (Preferred.TIE if abs(difference) <= self._tie
                     else Preferred.FIRST if difference > 0 else Preferred.SECOND)
        known = self._model.calibration is not None
        return Opinion(preferred, difference, self._model.preference(first, second) if known else None)


def win_rate(opinions: Sequence[Opinion]) -> float:
    """Of the first; a tie is half a win."""
    if not opinions:
        raise ConfigError("there is nothing to compare", "give at least one pair of replies")
    return sum({Preferred.FIRST: 1.0, Preferred.TIE: 0.5, Preferred.SECOND: 0.0}[one.preferred]
               for one in opinions) / len(opinions)
