"""A network whose first rows have a low-rank adapter beside its linear layers, and whose other rows have not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(slots=True)
class Rows:
    """How many leading rows of the running forward are adapted; all layers of a network share one."""

    count: int = 0


class AdaptedLinear(torch.nn.Module):
    """A linear layer whose first rows get B·A on top."""

    down: Tensor
    up: Tensor

    def __init__(self, base: torch.nn.Module, down: Tensor, up: Tensor, rows: Rows) -> None:
        """`down` [in, rank] and `up` [rank, out], with the adapter's scale in one of them."""
        super().__init__()
        self.base = base
        self._rows = rows
        self.register_buffer("down", down.contiguous(), persistent=False)
        self.register_buffer("up", up.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x)
        if count := self._rows.count:
            out[:count] += (x[:count] @ self.down @ self.up).to(out.dtype)
        return out


class AdaptedNetwork:
    """A network as its adapter makes it, callable like the network itself. `adapted_rows` None adapts every row."""

    def __init__(self, base: Any, rows: Rows) -> None:
        self.base = base
        self.config = base.config
        self.adapted_rows: int | None = None
        self._rows = rows

    def __call__(self, **inputs: Any) -> Any:
        self._rows.count = len(inputs["input_ids"]) if self.adapted_rows is None else self.adapted_rows
        try:
            return self.base(**inputs)
        finally:
            self._rows.count = 0

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        yield from self.base.parameters()
