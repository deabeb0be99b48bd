"""The k most likely tokens of q and their log-probabilities, for trainers that distil from distributions.

Of q, because q is what the data is drawn from: a student that is trained on it minimises KL(q‖π), which needs log q of
the likely tokens and nothing else; π_θ is the student before training, and π_t is no target. log q is that of the draw,
after temperature, support limits and sharpening; it is not normalised again over the k. Equally likely tokens come in
the order of their ids. Where q has fewer than k tokens, the rest have log q = −inf.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.errors import ConfigError


def check_top_k(k: int, vocab: int) -> None:
    if k > vocab:
        raise ConfigError(f"engine.top_logprobs = {k} is more than the vocabulary of {vocab} tokens", "lower it")


def top_k(logq_B_V: Tensor, k: int) -> Tensor:
    """[B, 2k] float64: k token ids, most likely first, then their k values of log q. Rows of NaN count as −inf."""
    logq_B_V = logq_B_V.masked_fill(logq_B_V.isnan(), float("-inf"))
    value_B_k = logq_B_V.topk(k, dim=-1).values
    threshold_B = value_B_k[:, -1:]
    above_B_V, level_B_V = logq_B_V > threshold_B, logq_B_V == threshold_B
    room_B = k - above_B_V.sum(-1, keepdim=True)
    chosen_B_V = above_B_V | (level_B_V & (level_B_V.cumsum(-1) <= room_B))
    token_B_k = chosen_B_V.nonzero()[:, 1].view(-1, k)  # in the order of ids; the stable sort keeps it among equals
    found_B_k, rank_B_k = logq_B_V.gather(1, token_B_k).sort(dim=-1, descending=True, stable=True)
    return torch.cat([token_B_k.gather(1, rank_B_k).double(), found_B_k.double()], dim=1)
