"""The student of the nested layout: a vLLM engine inside of the teacher's worker, always as far as the teacher.

Contract: `draw` gives every row of the teacher's step a token of q* and leaves the student having drawn the same. A
row that the student cannot serve in one step is served in a later one; the rows served before begin again with what
they have, because a step takes every row of the student along. The prefix cache makes that cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qstar_core.engine.vllm.adapters import Adapter, lora_request
from qstar_core.engine.vllm.hosts import KEY
from qstar_core.engine.vllm.mixing import Mixing, Told
from qstar_core.errors import EngineError

_IDLE = 1000
"""Steps of the student in which no row gets its token, beside those of a prompt that is read token by token."""


@dataclass(slots=True)
class Row:
    """A row of the teacher. `outputs` is vLLM's own list, which grows by a token a step. `request`: the student's
    request that follows it, `read` the outputs that this one has, once the teacher has taken the last token."""

    id: str
    key: int
    student_ids: Sequence[int]
    adapter: Adapter | None
    outputs: list[int]
    request: str | None = None
    read: int = 0


@dataclass(slots=True)
class _Question:
    """What the student's processor is to answer: the teacher's logits, and the rows that wait, by student request."""

    mixing: Mixing
    logits_t: Tensor
    waiting: dict[str, tuple[int, Row]]
    drawn: dict[str, tuple[Tensor, np.ndarray]] = field(default_factory=dict)


class Student:
    def __init__(self, engine: Any, told: Told) -> None:
        self._engine = engine
        self._told = told
        self._count = 0
        self._open: set[str] = set()
        self._question: _Question | None = None

    def draw(self, mixing: Mixing, logits_t: Tensor, rows: dict[int, Row]) -> tuple[list[int], Tensor]:
        """The rows of `logits_t` and their tokens."""
        for row in rows.values():
            self._follow(row)
        waiting = {_request(row): (index, row) for index, row in rows.items()}
        longest = max(len(row.student_ids) + len(row.outputs) for row in rows.values())
        tokens: dict[int, Tensor] = {}
        idle = 0
        while waiting:
            self._question = question = _Question(mixing, logits_t, waiting)
            stood = [output.request_id for output in self._engine.step() if output.outputs[0].token_ids]
            self._question = None
            served = [waiting.pop(request) for request in stood if request in question.drawn]
            for index, row in served:
                tokens[index], told = question.drawn[_request(row)]
                self._told.put(row.id, len(row.outputs), told)
                row.read = len(row.outputs) + 1
            if waiting:
                self.leave([row for _, row in served])
            idle = 0 if served else idle + 1
            if idle > _IDLE + longest:
                raise EngineError(f"the student makes no progress with {len(waiting)} samples",
                                  "raise engine.vllm.kv_cache_gib or lower engine.batch_size")
        return list(tokens), torch.stack(list(tokens.values()))

    def answer(self, logits: Tensor, rows: dict[int, str]) -> None:
        """Called from within the engine's step: `rows` are the student's, by request."""
        question = self._question
        if question is None:
            return
        asked = [(index, request) for index, request in rows.items() if request in question.waiting]
        if not asked:
            return
        followed = [question.waiting[request] for _, request in asked]
        own = [index for index, _ in asked]
        token_B, told = question.mixing.draw(
            logits, own, question.logits_t, [index for index, _ in followed],
            [row.key for _, row in followed], [len(row.outputs) for _, row in followed])
        question.mixing.force(logits, own, token_B)
        question.drawn.update({request: (token_B[at], told[at]) for at, (_, request) in enumerate(asked)})

    def leave(self, rows: Sequence[Row]) -> None:
        """The student stops following these rows; it can begin again with any of them."""
        if requests := [row.request for row in rows if row.request is not None]:
            self._engine.abort_request(requests)
            self._open.difference_update(requests)
        for row in rows:
            row.request = None

    def rest(self) -> None:
        """Drop whatever is still followed; the teacher has no rows any more."""
        self._engine.abort_request(list(self._open))
        self._open.clear()

    def forget_cache(self) -> None:
        self._engine.reset_prefix_cache()

    def drop_adapter(self, number: int) -> None:
        self._engine.remove_lora(number)

    def _follow(self, row: Row) -> None:
        """A teacher that did not take the last token, as in the middle of a prompt, is followed from where it is."""
        if row.request is not None and row.read == len(row.outputs):
            return
        self.leave([row])
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        row.request, row.read = f"student-{self._count}", len(row.outputs)
        self._count += 1
        self._open.add(row.request)
        params = SamplingParams(temperature=0.0, max_tokens=1_000_000, ignore_eos=True, detokenize=False,
                                output_kind=RequestOutputKind.DELTA, extra_args={KEY: row.request})
        self._engine.add_request(row.request, {"prompt_token_ids": [*row.student_ids, *row.outputs]}, params,
                                 lora_request=lora_request(row.adapter))


def _request(row: Row) -> str:
    if row.request is None:
        raise EngineError(f"the student does not follow {row.id}", "report this bug")
    return row.request
