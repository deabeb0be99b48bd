"""How likely a model finds given texts: the sum of the log-probabilities of their tokens after what stands before them.

Rows are padded on the right, where causal attention does not look. Padded columns of the vocabulary are left out, as
they are in sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qstar_core.engine.hf import LoadedModel
from qstar_core.errors import EngineError

Row = tuple[tuple[int, ...], int]
_AT_ONCE = 1 << 26  # logits of one forward


@dataclass(frozen=True, slots=True)
class Likelihood:
    """`log_p` of `tokens` tokens together, in nats. No tokens: the text is empty, or beyond the context."""

    log_p: float
    tokens: int


def log_probabilities(model: LoadedModel, columns: int, context: int, rows: Sequence[Row]) -> list[Likelihood]:
    """Of each (ids, start) the ids from `start` on; what lies beyond the context is cut off."""
    cut = [(ids[:context], max(start, 1)) for ids, start in rows]
    order = sorted(range(len(cut)), key=lambda index: len(cut[index][0]))
    found = [Likelihood(0.0, 0)] * len(cut)
    position = 0
    while position < len(order):
        longest = len(cut[order[min(position + 31, len(order) - 1)]][0])
        at_once = max(1, min(32, _AT_ONCE // max(1, longest * model.columns)))
        chosen = order[position : position + at_once]
        for index, one in zip(chosen, _forward(model, columns, [cut[index] for index in chosen]), strict=True):
            found[index] = one
        position += at_once
    return found


@torch.inference_mode()
def _forward(model: LoadedModel, columns: int, rows: Sequence[Row]) -> list[Likelihood]:
    length = max(len(ids) for ids, _ in rows)
    ids_B_L = torch.tensor([[*ids, *([0] * (length - len(ids)))] for ids, _ in rows], device=model.device)
    logits_B_L_V = model.network(input_ids=ids_B_L, use_cache=False).logits[:, :, :columns]
    found = []
    for row, (ids, start) in enumerate(rows):
        if start >= len(ids):
            found.append(Likelihood(0.0, 0))
            continue
        logp_T_V = logits_B_L_V[row, start - 1 : len(ids) - 1].float().log_softmax(-1)
        value = float(logp_T_V.gather(-1, ids_B_L[row, start : len(ids), None]).double().sum())
        if math.isnan(value):
            raise EngineError(f"{model.name} gives a probability that is no number", "look at its weights")
        found.append(Likelihood(value, len(ids) - start))
    return found
