"""What an engine has done since it was made: rounds, tokens, and how well the drafts did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qstar_core.engine.strategy import Drawn, Kept


@dataclass(slots=True)
class Statistics:
    """`rounds` counts them by draft length, 0 is lockstep. `row_rounds`: a round counts once for every sample in it."""

    rounds: Counter[int] = field(default_factory=Counter)
    row_rounds: int = 0
    tokens: int = 0
    accepted: int = 0
    refused: int = 0

    def add(self, drawn: Drawn, kept: Kept) -> None:
        self.rounds[drawn.gamma] += 1
        self.row_rounds += kept.rows
        self.tokens += kept.tokens
        self.accepted += kept.accepted
        self.refused += kept.refused

    @property
    def acceptance(self) -> float | None:
        """Share of the judged drafts that stood; None before the first."""
        judged = self.accepted + self.refused
        return self.accepted / judged if judged else None

    @property
    def tokens_per_teacher_forward(self) -> float | None:
        """Of one sample; 1 in lockstep."""
        return self.tokens / self.row_rounds if self.row_rounds else None
