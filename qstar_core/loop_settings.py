"""Settings of the loop. Like config.py, the only home of their defaults; docs/loop.md tells what each is for."""

from __future__ import annotations

from pydantic import Field

from qstar_core.section import Section


class LoopSettings(Section):
    """How long `qstar loop` goes on by itself. What a round does is said by the other sections."""

    rounds: int = Field(5, ge=1, le=1000, description="Rounds at most")
    patience: int = Field(2, ge=1, description="Rounds in a row without a promotion after which it stops")
    max_tokens: int | None = Field(None, ge=1, description="Tokens drawn from q*, over all rounds, after which no "
                                                           "round begins; empty: no bound")
    max_hours: float | None = Field(None, gt=0, description="Hours of work, over all rounds, after which no round "
                                                            "begins; empty: no bound")
