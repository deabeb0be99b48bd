"""One model and its slots: forwards whose shapes do not depend on who shares the batch.

Tokens are on the model's device. Positions and what is real are on the host, so that no shape waits for the device.
Logits come in the model's own precision.
"""

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
        logits = self._forward(torch.tensor([ids], device=self._device), columns, visible[None, None], 1)[0, -1]
        self._cache.forget_after(slot, length)
        return logits

    def resize(self, slots: int) -> None:
        self._cache.resize(slots)

    def keep(self, rows: list[int]) -> None:
        self._cache.keep(rows)

    def copy_prompt(self, source: int, target: int, length: int) -> None:
        self._cache.copy_row(source, target, length)

    def decode(self, token_B: Tensor, position_B: Tensor, occupied_B: Tensor) -> Tensor:
        """One token for every slot; the logits that follow, [B, V]. Unoccupied rows compute into the scratch column."""
        return self._read(token_B[:, None], position_B[:, None], occupied_B[:, None], False)[:, -1]

    def extend(self, token_B_T: Tensor, position_B_T: Tensor, real_B_T: Tensor) -> Tensor:
        """A block of tokens for every slot, each row at its own positions; the logits that follow each of them,
        [B, T, V]. What is not real computes into the scratch column.

        Writing a position again replaces it, so a row is rolled back by going on from an earlier position."""
        return self._read(token_B_T, position_B_T, real_B_T, True)

    def _read(self, token_B_T: Tensor, position_B_T: Tensor, real_B_T: Tensor, revocable: bool) -> Tensor:
        position_B_T = torch.where(real_B_T, position_B_T, 0)
        columns_B_T = torch.where(real_B_T, position_B_T, self._context).to(self._device)
        length = self._context if self._fixed_length else int(position_B_T.max()) + 1
        position_B_T = position_B_T.to(self._device)
        visible = torch.arange(length, device=self._device)[None, None, :] <= position_B_T[:, :, None]
        self._cache.window = Window(None, columns_B_T, length, revocable)
        return self._forward(token_B_T, position_B_T, visible[:, None], token_B_T.shape[1])

    @torch.no_grad()
    def _forward(self, ids_B_T: Tensor, position_B_T: Tensor, visible: Tensor, keep: int) -> Tensor:
        logits: Tensor = self._network(
            input_ids=ids_B_T, attention_mask=visible, position_ids=position_B_T, past_key_values=self._cache,
            use_cache=True, logits_to_keep=keep,
        ).logits
        return logits[:, -keep:, : self._vocab]
