"""A reward model: any sequence-classification checkpoint with one output, in safetensors, that reads a conversation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from qstar_core.engine.hf import COMPLETE, first_line, resolve_device
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import Message

_BATCH = 8
_WINDOW = 4096


class RewardModel:
    def __init__(self, path: Path, device: str) -> None:
        self._device = resolve_device(device)
        self._path = path
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
            self._network, report = AutoModelForSequenceClassification.from_pretrained(
                str(path), use_safetensors=True, trust_remote_code=False, output_loading_info=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"cannot load a reward model from {path}: {first_line(error)}", COMPLETE) from None
        if report["missing_keys"]:  # a language model without a head would score at random
            raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}",
                             "give a checkpoint that was trained to score")
        if self._network.config.num_labels != 1:
            raise ModelError(f"{path} has {self._network.config.num_labels} outputs", "a reward model has one")
        self._network.to(self._device).eval().requires_grad_(False)
        self._window = min(int(getattr(self._network.config, "max_position_embeddings", _WINDOW)), _WINDOW)

    def score(self, conversations: Sequence[tuple[Message, ...]]) -> list[float]:
        """Raw outputs. One at a time where the tokenizer cannot pad; of what is too long the end is read."""
        ids = [self._ids(conversation)[-self._window :] for conversation in conversations]
        batch = _BATCH if self._tokenizer.pad_token_id is not None else 1
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        scores = [0.0] * len(ids)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            for i, value in zip(chosen, self._forward([ids[i] for i in chosen]), strict=True):
                scores[i] = value
        if not all(map(math.isfinite, scores)):
            raise EngineError(f"the reward model in {self._path} gave a score that is no number", "check its weights")
        return scores

    def _ids(self, conversation: tuple[Message, ...]) -> list[int]:
        turns = [{"role": turn.role.value, "content": turn.content.encode("utf-8", "replace").decode()}
                 for turn in conversation]
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(turn["content"] for turn in turns)
        else:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=self._tokenizer.chat_template is None).input_ids
        return ids

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> list[float]:
        length, pad = max(map(len, ids)), self._tokenizer.pad_token_id or 0
        ids_B_L = torch.tensor([row + [pad] * (length - len(row)) for row in ids], device=self._device)
        mask_B_L = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=self._device)
        scores: list[float] = self._network(input_ids=ids_B_L, attention_mask=mask_B_L).logits[:, 0].float().tolist()
        return scores
