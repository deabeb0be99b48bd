"""Grouped-query attention without copies: the query heads of a group become rows of one query.

transformers gives up PyTorch's grouped attention as soon as there is a mask, and copies keys and values once per query
head instead. Folding the group into the query axis reads them once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

FOLDED = "qstar_folded"


def folded_attention(module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
                     scaling: float | None = None, **kwargs: Any) -> tuple[Tensor, None]:
    """`query` [B, heads, T, D], `key` and `value` [B, groups, L, D], a boolean mask [B, 1, T, L]; out [B, T, heads, D].
    No mask means causal, as transformers means it."""
    rows, heads, length, width = query.shape
    groups, seen = key.shape[1], key.shape[2]
    if attention_mask is None:
        attention_mask = torch.ones(1, 1, length, seen, dtype=torch.bool, device=query.device).tril(seen - length)
    folded = query.reshape(rows, groups, heads // groups * length, width)
    mask = attention_mask.repeat(1, 1, heads // groups, 1)
    out = torch.nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(rows, heads, length, width).transpose(1, 2).contiguous(), None


def register() -> None:
    """Make the function known to transformers by its name."""
    AttentionInterface.register(FOLDED, folded_attention)
    AttentionMaskInterface.register(FOLDED, sdpa_mask)
