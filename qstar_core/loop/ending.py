"""When a loop ends: a pure function of its concluded rounds and its settings, so that raising a bound goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from qstar_core.loop.records import Round
from qstar_core.loop_settings import LoopSettings

_HOUR = 3600.0


def ending(rounds: Sequence[Round], settings: LoopSettings) -> str | None:
    """Why no further round begins; None where one does."""
    idle = sum(1 for _ in takewhile(lambda one: not one.promoted, reversed(rounds)))
    tokens = sum(one.refreshed.tokens for one in rounds)
    hours = sum(one.seconds for one in rounds) / _HOUR
    if idle >= settings.patience:
        return f"no promotion in {idle} rounds in a row (loop.patience)"
    if len(rounds) >= settings.rounds:
        return f"{len(rounds)} rounds are done (loop.rounds)"
    if settings.max_tokens is not None and tokens >= settings.max_tokens:
        return f"{tokens:,} tokens were drawn (loop.max_tokens)"
    if settings.max_hours is not None and hours >= settings.max_hours:
        return f"{hours:.2f} hours were worked (loop.max_hours)"
    return None
