"""One model and its slots: forwards whose shapes do not depend on who shares the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.engine.cache import SlotCache, Window
from qstar_core.engine.hf import LoadedModel


class ModelRunner:
    def __init__(self, model: LoadedModel, slots: int, context: int, vocab: int, fixed_length: bool) -> None:
        self._network = model.network
        self._device = model.device
        self._vocab = vocab
        self._fixed_length = fixed_length
        self._context = context
        self._cache = SlotCache(model.network.config.get_text_config().num_hidden_layers, slots, context)

    def prefill(self, slot: int, ids: tuple[int, ...]) -> Tensor:
        """Read a prompt alone, at its exact length; the logits that follow it, [V]."""
        length = len(ids)
        columns = torch.arange(length, device=self._device)[None]
        visible = columns[0][None, :] <= columns[0][:, None]
        self._cache.window = Window(torch.tensor([slot], device=self._device), columns, length)
        logits = self._forward(torch.tensor([ids], device=self._device), columns, visible[None, None])[0]
        self._cache.forget_after(slot, length)
        return logits

    def copy_prompt(self, source: int, target: int, length: int) -> None:
        self._cache.copy_row(source, target, length)

    def decode(self, token_B: Tensor, position_B: Tensor, occupied_B: Tensor) -> Tensor:
        """One token for every slot; the logits that follow, [B, V]. Unoccupied rows compute into the scratch column."""
        position_B = torch.where(occupied_B, position_B, 0)
        columns = torch.where(occupied_B, position_B, self._context)[:, None]
        length = self._context if self._fixed_length else int(position_B.max()) + 1
        visible = torch.arange(length, device=self._device)[None, :] <= position_B[:, None]
        self._cache.window = Window(None, columns, length)
        return self._forward(token_B[:, None], position_B[:, None], visible[:, None, None, :])

    @torch.no_grad()
    def _forward(self, ids_B_T: Tensor, position_B_T: Tensor, visible: Tensor) -> Tensor:
        logits: Tensor = self._network(
            input_ids=ids_B_T, attention_mask=visible, position_ids=position_B_T, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1,
        ).logits
        return logits[:, -1, : self._vocab].float()
