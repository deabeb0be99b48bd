"""How the memory of a device is shared between both engines: numbers in, numbers out.

Contract: weights, caches and what a step needs beside them are never more than there is. Every sample in flight gets
room in the whole context where that fits; else they share what is left, and vLLM puts samples off where it runs short.
What cannot hold a single sample is refused with the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qstar_core.engine.vllm.launch import BLOCK
from qstar_core.errors import ConfigError

_OWN = 1  # block that vLLM keeps for itself
_SPARE = 4  # blocks: that one, and some to round up with
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Load:
    """An engine's model, in bytes: its weights, and a block of keys and values in all layers."""

    weights: int
    block: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`student` is None where its rows are in the teacher's engine. `blocks` of the teacher; the student has as many
    and `ahead` more. `free` is what the device had, `working` what a step needs beside weights and caches."""

    free: int
    working: int
    teacher: Load
    student: Load | None
    blocks: int
    ahead: int
    whole: bool

    @property
    def teacher_cache(self) -> int:
        return self.blocks * self.teacher.block

    @property
    def student_cache(self) -> int:
        return (self.blocks + self.ahead) * self.student.block if self.student is not None else 0

    @property
    def total(self) -> int:
        weights = self.teacher.weights + (self.student.weights if self.student is not None else 0)
        return weights + self.teacher_cache + self.student_cache + self.working

    def __str__(self) -> str:
        parts = [f"teacher {_gib(self.teacher.weights)} + cache {_gib(self.teacher_cache)}"]
        if self.student is not None:
            parts.append(f"student {_gib(self.student.weights)} + cache {_gib(self.student_cache)}")
        room = "every sample in the whole context" if self.whole else "fewer samples than that"
        return (f"{', '.join(parts)}, steps {_gib(self.working)}, of {_gib(self.free)} GiB; "
                f"{self.blocks * BLOCK} tokens of cache, room for {room}")


def plan_memory(free: int, teacher: Load, student: Load | None, *, rows: int, context: int, working: int,
                kv_cache_gib: float | None) -> Plan:
    """`rows` of a step, the student's included where it has no engine of its own."""
    ahead = rows if student is not None else 0
    row = math.ceil(context / BLOCK)
    wanted, least = rows * row + _SPARE, row + _SPARE
    if student is None:
        least = max(least, 2 * row + _OWN)

    def plan(blocks: int) -> Plan:
        return Plan(free, working, teacher, student, blocks, ahead, blocks >= wanted)

    if kv_cache_gib is not None:
        return _as_set(plan(int(kv_cache_gib * _GIB) // teacher.block), least, context, kv_cache_gib)
    left = free - plan(0).total
    fitting = left // (teacher.block + (student.block if student is not None else 0))
    if fitting < least:
        raise ConfigError(
            f"the device has {_gib(free)} GiB, and vLLM needs {_gib(plan(least).total)}: {plan(least)}",
            "lower engine.context or engine.batch_size, or take engine.dtype=bfloat16, smaller models, a larger device")
    return plan(min(wanted, fitting))


def _as_set(plan: Plan, least: int, context: int, kv_cache_gib: float) -> Plan:
    if plan.blocks < least:
        raise ConfigError(f"engine.vllm.kv_cache_gib = {kv_cache_gib:g} holds {plan.blocks * BLOCK} tokens, "
                          f"and one sample in a context of {context} takes {least * BLOCK}",
                          f"set at least {least * plan.teacher.block / _GIB:.3g}, or lower engine.context")
    if plan.total > plan.free:
        raise ConfigError(f"engine.vllm.kv_cache_gib = {kv_cache_gib:g} does not fit: {plan}",
                          "lower it, or leave it empty")
    return plan


def _gib(size: int) -> str:
    return f"{size / _GIB:.3g}" if size < 1000 * _GIB else f"{size / _GIB:,.0f}"
