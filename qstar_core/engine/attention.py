"""Grouped-query attention without copies: the query heads of a group become rows of one query.

transformers gives up PyTorch's grouped attention as soon as there is a mask, and copies keys and values once per query
head instead. Folding the group into the query axis reads them once. Sliding windows, capped scores and attention sinks
are applied here, because a slot's mask tells only which columns are filled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

FOLDED = "qstar_folded"


def folded_attention(module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
                     scaling: float | None = None, sliding_window: int | None = None, softcap: float | None = None,
                     s_aux: Tensor | None = None, **kwargs: Any) -> tuple[Tensor, None]:
    """`query` [B, heads, T, D], `key` and `value` [B, groups, L, D], a boolean mask [B, 1, T, L] that shows every query
    the columns up to its own; out [B, T, heads, D]. No mask means causal, as transformers means it."""
    rows, heads, length, width = query.shape
    groups, seen = key.shape[1], key.shape[2]
    share = heads // groups
    if attention_mask is None:
        attention_mask = torch.ones(1, 1, length, seen, dtype=torch.bool, device=query.device).tril(seen - length)
    if sliding_window is not None and sliding_window < seen:
        attention_mask = attention_mask & _recent(attention_mask, sliding_window)
    folded = query.reshape(rows, groups, share * length, width)
    mask = attention_mask.expand(-1, -1, share, -1) if length == 1 else attention_mask.repeat(1, 1, share, 1)
    if softcap is None and s_aux is None:
        out = torch.nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    else:
        sinks = None if s_aux is None else s_aux.reshape(groups, share).repeat_interleave(length, dim=1)
        out = _spelled_out(folded, key, value, mask, width**-0.5 if scaling is None else scaling, softcap, sinks)
    return out.reshape(rows, heads, length, value.shape[-1]).transpose(1, 2).contiguous(), None


def _recent(mask: Tensor, window: int) -> Tensor:
    """The last `window` columns that each query sees, its own among them."""
    columns = torch.arange(mask.shape[-1], device=mask.device)
    return columns >= mask.sum(-1, keepdim=True) - window


def _spelled_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, softcap: float | None,
                 sinks: Tensor | None) -> Tensor:
    """What PyTorch's fused attention cannot: scores capped by tanh, and `sinks` [groups, queries], scores of a column
    that takes probability but has no value."""
    scores = query @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    if sinks is not None:
        scores = torch.cat([scores, sinks.float()[None, :, :, None].expand(len(scores), -1, -1, 1)], dim=-1)
    weights = scores.softmax(-1)[..., : key.shape[-2]]
    return weights.to(value.dtype) @ value


def register() -> None:
    """Make the function known to transformers by its name."""
    AttentionInterface.register(FOLDED, folded_attention)
    AttentionMaskInterface.register(FOLDED, sdpa_mask)
