"""Key/value memory in slots: one row a sample, every row at its own position, nothing moved while a batch is full.

The column after the context is scratch: rows without a sample write there. transformers calls `update(k, v, layer)`
without saying which rows and positions it is for, so these travel in the cache's `Window`, set before each forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(slots=True)
class Window:
    """What the running forward writes and reads: `slots` None means all rows, `length` how many columns are visible.

    What is `revocable` may be rolled back, and must not spoil what comes before it: masked columns weigh 0, but 0·NaN
    is NaN. It is written without NaN; the token's own logits are NaN all the same, and its sample fails if it stands.
    """

    slots: Tensor | None
    columns_B_T: Tensor
    length: int
    revocable: bool = False


class SlotLayer(CacheLayerMixin):
    supports_early_init = False

    def __init__(self, owner: SlotCache) -> None:
        super().__init__()
        self._owner = owner

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, columns = self._owner.slots, self._owner.context + 1
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_zeros(rows, key_states.shape[1], columns, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], columns, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self._owner.window
        if window.revocable:
            key_states, value_states = key_states.nan_to_num(), value_states.nan_to_num()
        rows = window.slots if window.slots is not None else self._owner.every_row(key_states.device)
        self.keys[rows[:, None], :, window.columns_B_T] = key_states.transpose(1, 2)
        self.values[rows[:, None], :, window.columns_B_T] = value_states.transpose(1, 2)
        if window.slots is None:
            return self.keys[:, :, : window.length], self.values[:, :, : window.length]
        return self.keys[rows, :, : window.length], self.values[rows, :, : window.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._owner.window.length, 0

    def get_seq_length(self) -> int:
        return self._owner.window.length

    def get_max_length(self) -> int:
        return self._owner.context


class SlotCache(Cache):
    def __init__(self, layers: int, slots: int, context: int) -> None:
        self.slots = slots
        self.context = context
        self.window = Window(None, torch.zeros(0, 0, dtype=torch.long), 0)
        self._rows: Tensor | None = None
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])

    def every_row(self, device: torch.device) -> Tensor:
        if self._rows is None or self._rows.device != device:
            self._rows = torch.arange(self.slots, device=device)
        return self._rows

    def resize(self, slots: int) -> None:
        """So many empty slots, whatever was there."""
        if slots != self.slots:
            self.slots, self._rows = slots, None
            for layer in self.layers:
                layer.is_initialized = False

    def keep(self, rows: list[int]) -> None:
        """These slots alone, in this order."""
        self.slots, self._rows = len(rows), None
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]

    def copy_row(self, source: int, target: int, length: int) -> None:
        """The first `length` columns of one slot into another: several draws share one prefill."""
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]
        self.forget_after(target, length)

    def forget_after(self, slot: int, length: int) -> None:
        """Drop what the slot's last sample left behind: one that failed there would spoil the next (see `Window`)."""
        for layer in self.layers:
            layer.keys[slot, :, length:] = 0
            layer.values[slot, :, length:] = 0
