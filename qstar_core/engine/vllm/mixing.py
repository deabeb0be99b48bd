"""The mixture in the worker: rows of logits of both roles in, tokens out, and what is told about them kept until it is
collected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qstar_core.engine.mixing import mixer_of
from qstar_core.engine.strategy import told
from qstar_core.engine.vllm.order import MixOrder

_CELLS = 32_000_000
"""Logits that are mixed at once: a step takes several times their memory."""


class Mixing:
    def __init__(self, order: MixOrder) -> None:
        self._mixer = mixer_of(order.alpha, order.sampling, order.support, order.engine, order.special_ids)
        self._vocab, self._stop = order.vocab, order.stop

    def draw(self, logits_theta: Tensor, theta_B: Sequence[int], logits_t: Tensor, t_B: Sequence[int],
             key_B: Sequence[int], position_B: Sequence[int]) -> tuple[Tensor, np.ndarray]:
        """The token of every row, and what is told about it. Rows of failed models get the token that ends them."""
        parts = max(1, _CELLS // self._vocab)
        tokens, rows = [], []
        for start in range(0, len(key_B), parts):
            part = slice(start, start + parts)
            device = logits_theta.device
            theta, t, key, position = (torch.tensor(numbers[part], device=device)
                                       for numbers in (theta_B, t_B, key_B, position_B))
            step = self._mixer.step(logits_theta[theta, : self._vocab], logits_t[t, : self._vocab], key, position)
            lost_B = step.failed_theta_B | step.failed_t_B | step.disjoint_B
            tokens.append(step.token_B.masked_fill(lost_B, self._stop))
            rows.append(told(step))
        return torch.cat(tokens), np.concatenate(rows)

    def force(self, logits: Tensor, rows: Sequence[int], token_B: Tensor | None = None) -> None:
        """Leave one token possible; without tokens, the one that ends the row."""
        index = torch.tensor(rows, device=logits.device)
        logits[index] = float("-inf")
        logits[index, self._stop if token_B is None else token_B] = 0.0


class Told:
    """What was told about every token of every request, by position. A position that is drawn again is replaced."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, np.ndarray]] = {}

    def put(self, request: str, position: int, row: np.ndarray) -> None:
        self._rows.setdefault(request, {})[position] = row

    def cut(self, request: str, length: int) -> None:
        """Forget the positions from `length` on."""
        rows = self._rows.get(request, {})
        for position in [position for position in rows if position >= length]:
            del rows[position]

    def take(self, requests: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Columns and float64 values of each request, in order, as a pipe takes them best."""
        taken = {request: self._rows.pop(request, {}) for request in requests}
        return {request: (rows[min(rows)].size, b"".join(rows[at].tobytes() for at in sorted(rows)))
                for request, rows in taken.items() if rows}

    def clear(self) -> None:
        self._rows.clear()


def rows_of(taken: tuple[int, bytes] | None) -> np.ndarray:
    """[tokens, columns] of what `Told.take` sent."""
    if taken is None:
        return np.zeros((0, 1))
    columns, values = taken
    return np.frombuffer(values, dtype=np.float64).reshape(-1, columns)
