"""The logits processors of the nested layout: the teacher's steps the student, the student's mixes and draws.

The teacher's processor sees the teacher's logits and has the student's engine make one step. In it the student's
processor sees both, mixes, and forces every row's token on the student; the teacher's then forces the same on its own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from qstar_core.engine.vllm.hosts import KEY, host_of
from qstar_core.engine.vllm.student import Row
from qstar_core.errors import EngineError


class TeacherProcessor(LogitsProcessor):
    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        self._host = host_of(vllm_config)
        self._rows: dict[int, Row] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """A row that is gone leaves the student too: ended, aborted, preempted, or without a place in this step."""
        before = list(self._rows.values())
        if process_dict_updates(self._rows, batch_update, _row) and self._host.student is not None:
            stay = {id(row) for row in self._rows.values()}
            self._host.student.leave([row for row in before if id(row) not in stay])

    def apply(self, logits: Tensor) -> Tensor:
        host = self._host
        if not self._rows or host.mixing is None or host.student is None:
            return logits
        try:
            rows, token_B = host.student.draw(host.mixing, logits, self._rows)
        except EngineError as error:
            host.error = str(error)
            host.mixing.force(logits, list(self._rows))
        else:
            host.mixing.force(logits, rows, token_B)
        return logits


class StudentProcessor(LogitsProcessor):
    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        self._host = host_of(vllm_config)
        self._rows: dict[int, str] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._rows, batch_update, _request)

    def apply(self, logits: Tensor) -> Tensor:
        if self._host.student is not None:
            self._host.student.answer(logits, self._rows)
        return logits


def _request(params: Any, prompt_ids: list[int] | None, output_ids: list[int]) -> str | None:
    """A student's row is known by its request."""
    name: str | None = (params.extra_args or {}).get(KEY)
    return name


def _row(params: Any, prompt_ids: list[int] | None, output_ids: list[int]) -> Row | None:
    told = (params.extra_args or {}).get(KEY)
    return None if told is None else Row(told["id"], told["key"], told["student_ids"], told["adapter"], output_ids)
