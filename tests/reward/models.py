"""Reward models that are good for nothing but are made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from qstar_core.records import Message, Role
from qstar_core.reward.pairs import PreferencePair
from qstar_core.tiny.tokenizer import build_tokenizer


def checkpoint(folder: Path, kind: type = LlamaForSequenceClassification, seed: int = 0, window: int = 64,
               **changes: Any) -> Path:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    values: dict[str, Any] = {"num_labels": 1, "eos_token_id": tokenizer.eos_token_id,
                              "pad_token_id": tokenizer.pad_token_id}
    model = kind(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=window, initializer_range=0.3, **(values | changes)))
    model.save_pretrained(folder)
    return folder


def asked(text: str = "sort 7 3 12") -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


def pair(chosen: str = "answer 3 7 12", rejected: str = "answer 7 3 12", prompt: str = "sort 7 3 12",
         **changes: Any) -> PreferencePair:
    return PreferencePair(prompt=asked(prompt), chosen=chosen, rejected=rejected, **changes)
