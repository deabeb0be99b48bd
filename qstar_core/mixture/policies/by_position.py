"""A ramp over the tokens of a sample: α = (1 − w)·method + w·`alpha`, where the share w runs in a straight line from
`start` at the first token to `end` at token number `tokens`, and stays there.

With `start: 0, end: 1` a sample begins as q* and goes over to `alpha`; with `start: 1, end: 0` it is the other way
round.
Where w = 1 and `alpha` is 0 or 1 the model itself is drawn from; where w = 0 the token is the method's.
"""

from __future__ import annotations

from pydantic import Field

from qstar_core.config import Section, Unit
from qstar_core.mixture.policies.base import Decision, Situation


class ByPositionOptions(Section):
    alpha: Unit = 1.0
    tokens: int = Field(32, ge=1)
    start: Unit = 0.0
    end: Unit = 1.0


class ByPosition:
    name = "by_position"
    options = ByPositionOptions

    def __init__(self, options: ByPositionOptions) -> None:
        self._options = options

    def decide(self, at: Situation) -> Decision | None:
        options = self._options
        done_B = (at.position_B.double() / options.tokens).clamp(0.0, 1.0)
        share_B = options.start + (options.end - options.start) * done_B
        alpha_B = (1.0 - share_B) * at.alpha_B + share_B * options.alpha
        return Decision(alpha_B.clamp(0.0, 1.0), share_B > 0.0, share_B == 1.0)
