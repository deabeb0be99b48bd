"""Mixes only where the models disagree, by a total variation above `threshold`; elsewhere `follow` decides alone: the
student by default, the cheaper of the two.
"""

from __future__ import annotations

from typing import Literal

from qstar_core.config import Section, Unit
from qstar_core.mixture.geometric import total_variation
from qstar_core.mixture.policies.base import Decision, Situation, follow


class ByDisagreementOptions(Section):
    threshold: Unit = 0.05
    follow: Literal["student", "teacher"] = "student"


class ByDisagreement:
    name = "by_disagreement"
    options = ByDisagreementOptions

    def __init__(self, options: ByDisagreementOptions) -> None:
        self._threshold = options.threshold
        self._alpha = 0.0 if options.follow == "student" else 1.0

    def decide(self, at: Situation) -> Decision | None:
        distance_B = total_variation(at.pair)
        return follow(at, distance_B <= self._threshold, self._alpha)
