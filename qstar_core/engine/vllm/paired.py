"""The logits processor of the paired layout: a sample is two rows of one batch, one for each role, with one token.

Two rows are mixed where both are in the step and equally long. A row without its partner, which has another place in
the schedule or was preempted, ends there; the driver sees that nothing was told about its last token and begins both
again with what they have in common (`pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from qstar_core.engine.vllm.hosts import KEY, host_of


@dataclass(slots=True)
class _Half:
    """`begun`: the sample's tokens that stood before this request. `outputs` is vLLM's own list."""

    id: str
    student: bool
    key: int
    begun: int
    outputs: list[int]


class PairProcessor(LogitsProcessor):
    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        self._host = host_of(vllm_config)
        self._rows: dict[int, _Half] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._rows, batch_update, _half)

    def apply(self, logits: Tensor) -> Tensor:
        mixing, told = self._host.mixing, self._host.told
        if not self._rows or mixing is None:
            return logits
        together: dict[str, dict[bool, int]] = {}
        for index, half in self._rows.items():
            together.setdefault(half.id, {})[half.student] = index
        pairs: list[dict[bool, int]] = []
        alone: list[int] = []
        for name, pair in together.items():
            lengths = [len(self._rows[index].outputs) for index in pair.values()]
            if len(lengths) == 2 and lengths[0] == lengths[1]:
                pairs.append(pair)
            else:  # what was told about a token that one of them did not take does not count
                told.cut(name, self._rows[next(iter(pair.values()))].begun + min(lengths))
                alone += pair.values()
        if pairs:
            theta, t = [pair[True] for pair in pairs], [pair[False] for pair in pairs]
            halves = [self._rows[index] for index in t]
            position = [half.begun + len(half.outputs) for half in halves]
            token_B, said = mixing.draw(logits, theta, logits, t, [half.key for half in halves], position)
            mixing.force(logits, [*theta, *t], token_B.repeat(2))
            for half, at, row in zip(halves, position, said, strict=True):
                told.put(half.id, at, row)
        if alone:
            mixing.force(logits, alone)
        return logits


def _half(params: Any, prompt_ids: list[int] | None, output_ids: list[int]) -> _Half | None:
    told = (params.extra_args or {}).get(KEY)
    return None if told is None else _Half(told["id"], told["student"], told["key"], told["begun"], output_ids)
