"""LoRA adapters as vLLM takes them: every adapter of its own hash has a number of its own, so that a student that was
trained again never meets what was cached of the one before.

One slot more is made than is used: vLLM's kernels on CPU read the last slot for rows without an adapter.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from qstar_core.errors import EngineError

Adapter = tuple[str, int, str]
"""Name, number and folder; plain data, because it goes to the worker with every request."""

SLOTS = 3
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def lora_request(adapter: Adapter | None) -> Any:
    """A `vllm.lora.request.LoRARequest`."""
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    name, number, folder = adapter
    return LoRARequest(name, number, folder)


def room_for(rank: int) -> int:
    """The smallest rank that vLLM can be made for and that takes this one."""
    fitting = [size for size in _RANKS if size >= rank]
    if not fitting:
        raise EngineError(f"the adapter has rank {rank}, vLLM takes up to {_RANKS[-1]}", "merge it into its base")
    return fitting[0]


class Shelf:
    """The adapters that an engine holds, the latest used last."""

    def __init__(self) -> None:
        self._held: dict[str, Adapter] = {}
        self._count = 0

    def take(self, sha256: str, folder: str, busy: Collection[int]) -> tuple[Adapter, Adapter | None]:
        """The adapter, and the one that has to make room for it; never one that is `busy`, by its number."""
        gone = None
        adapter = self._held.pop(sha256, None)
        if adapter is None:
            if len(self._held) == SLOTS - 1:
                idle = [key for key, held in self._held.items() if held[1] not in busy]
                if not idle:
                    raise EngineError(f"more than {SLOTS - 1} LoRA students are in flight",
                                      "wait for the samples of one of them")
                gone = self._held.pop(idle[0])
            self._count += 1
            adapter = (sha256, self._count, folder)
        self._held[sha256] = adapter
        return adapter, gone
