"""What a decoding strategy is: it draws one round of tokens for all slots, and has the models read what was kept.

Every strategy returns the same tokens, because each of them is drawn by the same map of the same counters
(mixture/draw.py). They differ in how many a round yields and what it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from qstar_core.engine.slots import Slots
from qstar_core.mixture.mixer import Step

FAILED_THETA, FAILED_T, DISJOINT, DIAGNOSTICS = 1, 2, 3, 4  # columns of a row of `told`; column 0 is the token


@dataclass(frozen=True, slots=True)
class Drawn:
    """One round, on the host. `told` [B, T, columns]: what the mixture says about every token. The first `count_B` of a
    row stand; `certain_B` of them were no drafts; where `corrected_B` the last one replaces a refused draft."""

    told: np.ndarray
    count_B: np.ndarray
    certain_B: np.ndarray
    corrected_B: np.ndarray
    ready_B: np.ndarray
    gamma: int


@dataclass(slots=True)
class Kept:
    """What the samples kept of a round: all tokens, and of the drafts that were judged those accepted and refused."""

    rows: int = 0
    tokens: int = 0
    accepted: int = 0
    refused: int = 0

    def add(self, drawn: Drawn, slot: int, tokens: int) -> None:
        """`tokens` of the slot's row were kept; less than all of them where the sample ended with one."""
        refused = int(drawn.corrected_B[slot] and tokens == drawn.count_B[slot])
        self.rows += 1
        self.tokens += tokens
        self.refused += refused
        self.accepted += tokens - min(tokens, int(drawn.certain_B[slot])) - refused


class Strategy(Protocol):
    def draw(self, slots: Slots) -> Drawn:
        """Draw for every seated row."""
        ...

    def read(self, slots: Slots, kept: Kept) -> None:
        """Have the models read the tokens of the rows that go on, so that `draw` can follow."""
        ...


def told(step: Step) -> np.ndarray:
    """Everything about a step that the host needs, in one transfer."""
    flags = torch.stack([step.token_B, step.failed_theta_B, step.failed_t_B, step.disjoint_B], dim=1).double()
    parts = [flags] if step.diagnostics is None else [flags, step.diagnostics.stacked()]
    rows: np.ndarray = torch.cat(parts, dim=1).cpu().numpy()
    return rows
