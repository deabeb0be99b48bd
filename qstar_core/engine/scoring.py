"""A sequence-classification checkpoint with one output, in safetensors, as tokenizer and network of a reward model.

The score is read at the last attended token, wherever the padding stands and whatever id it has: a padding id that is
also the end mark would otherwise hide the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from qstar_core.engine.hf import COMPLETE, first_line, resolve_device
from qstar_core.errors import EngineError, ModelError, RowError
from qstar_core.records import Message

WINDOW = 4096
"""Tokens that are read at most, where a checkpoint could read more."""


class ConversationTokenizer:
    """A whole conversation, the reply included, as a reward model reads it: by the chat template where there is one,
    else the turns with an empty line between them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"no usable tokenizer in {path}: {first_line(error)}", COMPLETE) from None

    def ids(self, prompt: Sequence[Message], completion: str) -> tuple[list[int], int]:
        """All ids, and how many of them at the end are not the prompt's."""
        turns = [{"role": turn.role.value, "content": _printable(turn.content)} for turn in prompt]
        reply = {"role": "assistant", "content": _printable(completion)}
        templated = self.tokenizer.chat_template is not None
        try:
            whole, asked = (self._text(part, templated) for part in ([*turns, reply], turns))
        except (TemplateError, TypeError, ValueError) as error:  # a template may refuse roles or their order
            raise RowError(f"the chat template refuses the conversation: {first_line(error)}") from None
        ids: list[int] = self.tokenizer(whole, add_special_tokens=not templated).input_ids
        before: list[int] = self.tokenizer(asked, add_special_tokens=not templated).input_ids
        shared = next((i for i, (one, other) in enumerate(zip(ids, before, strict=False)) if one != other),
                      min(len(ids), len(before)))
        return ids, len(ids) - shared

    def _text(self, turns: list[dict[str, str]], templated: bool) -> str:
        if not templated:
            return "\n\n".join(turn["content"] for turn in turns)
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False))


class ScoringNetwork:
    def __init__(self, path: Path, device: str) -> None:
        self._device = resolve_device(device)
        self._path = path
        try:
            self.network, report = AutoModelForSequenceClassification.from_pretrained(
                str(path), use_safetensors=True, trust_remote_code=False, output_loading_info=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"cannot load a reward model from {path}: {first_line(error)}", COMPLETE) from None
        if report["missing_keys"]:  # a language model without a head would score at random
            raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}",
                             "give a checkpoint that was trained to score")
        if self.network.config.num_labels != 1:
            raise ModelError(f"{path} has {self.network.config.num_labels} outputs", "a reward model has one")
        self.network.to(self._device).eval().requires_grad_(False)
        self.window = min(int(getattr(self.network.config, "max_position_embeddings", WINDOW)), WINDOW)

    def scores(self, ids: Sequence[Sequence[int]]) -> list[float]:
        """Of one batch, padded on the right."""
        length = max(map(len, ids))
        pad = next(iter(_pad_ids(self.network.config)), 0)  # any id would do: the mask says what is read
        ids_B_L = torch.tensor([[*row, *[pad] * (length - len(row))] for row in ids], device=self._device)
        mask_B_L = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=self._device)
        scores = score_last(self.network, ids_B_L, mask_B_L).tolist()
        if not all(score == score and abs(score) != float("inf") for score in scores):
            raise EngineError(f"the reward model in {self._path} gave a score that is no number", "check its weights")
        return scores


@torch.inference_mode()
def score_last(network: Any, ids_B_L: Tensor, mask_B_L: Tensor) -> Tensor:
    """One raw output a row. Decoders are read at the last attended token; encoders pool by themselves."""
    head = getattr(network, "score", None)
    if not isinstance(head, torch.nn.Linear):
        score_B: Tensor = network(input_ids=ids_B_L, attention_mask=mask_B_L).logits[:, 0].float()
        return score_B
    position_B_L = (mask_B_L.cumsum(-1) - 1).clamp(min=0)
    hidden_B_L_D = network.base_model(input_ids=ids_B_L, attention_mask=mask_B_L, position_ids=position_B_L,
                                      use_cache=False).last_hidden_state
    last_B = mask_B_L.shape[1] - 1 - mask_B_L.flip(-1).argmax(-1)
    last: Tensor = head(hidden_B_L_D[torch.arange(len(last_B), device=last_B.device), last_B])
    return last[:, 0].float()


def _pad_ids(config: Any) -> list[int]:
    found = config.get_text_config().pad_token_id
    return [] if found is None else [int(found)]


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
