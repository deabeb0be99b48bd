"""Samples as requests of a server: what is asked of either layout."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qstar_core.engine.sequence import Sequence
from qstar_core.engine.vllm.adapters import Adapter
from qstar_core.engine.vllm.hosts import KEY
from qstar_core.engine.vllm.mixing import rows_of
from qstar_core.engine.vllm.process import Running


@dataclass(frozen=True, slots=True)
class Grown:
    """New tokens of a sample. `ended`: vLLM has no more of them."""

    name: str
    tokens: list[int]
    ended: bool


class Requests(Protocol):
    def add(self, name: str, sequence: Sequence, adapter: Adapter | None) -> None:
        """Begin a sample under a name that was not used before."""
        ...

    def step(self) -> list[Grown]: ...

    def collect(self, names: Several[str]) -> dict[str, np.ndarray]:
        """What was told about every token of samples that end here; those that vLLM would go on with are aborted."""
        ...

    def abort(self) -> None:
        """All that are open."""
        ...


class NestedRequests:
    """One request a sample, the teacher's."""

    def __init__(self, server: Running, stop_ids: frozenset[int]) -> None:
        self._server = server
        self._stop_ids = sorted(stop_ids)
        self._open: set[str] = set()

    def add(self, name: str, sequence: Sequence, adapter: Adapter | None) -> None:
        pair = sequence.job.pair
        told = {"id": name, "key": sequence.key, "student_ids": list(pair.student_ids), "adapter": adapter}
        self._server.add(name, list(pair.teacher_ids), {
            "max_tokens": sequence.limit, "stop_token_ids": self._stop_ids, "extra_args": {KEY: told}})
        self._open.add(name)

    def step(self) -> list[Grown]:
        grown = [Grown(*output) for output in self._server.step() if output[0] in self._open]
        self._open.difference_update(one.name for one in grown if one.ended)
        return grown

    def collect(self, names: Several[str]) -> dict[str, np.ndarray]:
        going = [name for name in names if name in self._open]
        self._server.abort(going)
        self._open.difference_update(going)
        taken = self._server.collect(list(names))
        return {name: rows_of(taken.get(name)) for name in names}

    def abort(self) -> None:
        self._server.abort(list(self._open))
        self._open.clear()
