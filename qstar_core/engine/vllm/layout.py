"""Which weights an engine needs, and where the student's stand: in an engine of its own, or among the teacher's rows.

Two students that differ in their LoRA alone need the same weights, so that one engine serves both.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from qstar_core.engine.vllm.fitting import check_fit
from qstar_core.records import ModelRef, Record


class Layout(StrEnum):
    NESTED = "nested"
    PAIRED = "paired"


class Weights(Record):
    """`student` is None where its rows are in the teacher's engine. `lora`: the student's requests name an adapter."""

    layout: Layout
    teacher: ModelRef
    student: ModelRef | None
    lora: bool


def weights_of(student: ModelRef, teacher: ModelRef, share: bool) -> Weights:
    """Paired where both roles have the same weights up to a plain LoRA and `share` allows it."""
    base, lora = student, beside(student)
    if student.adapter is not None and lora:
        base = ModelRef(name=student.adapter.base, path=student.path, revision=None, sha256=student.adapter.base_sha256)
    if share and base.sha256 == teacher.sha256:
        return Weights(layout=Layout.PAIRED, teacher=teacher, student=None, lora=lora)
    return Weights(layout=Layout.NESTED, teacher=teacher, student=base, lora=lora)


def beside(student: ModelRef) -> bool:
    """Whether the student is a plain LoRA that fits, which vLLM applies beside its base; every other adapter is
    merged."""
    if student.adapter is None:
        return False
    from qstar_core.engine.adapter import acts_on_rows, adapter_config, on_linear_layers

    folder = Path(student.adapter.path)
    config = adapter_config(folder)
    plain = acts_on_rows(config) and on_linear_layers(folder)
    if plain and not config.fan_in_fan_out:
        check_fit(folder, Path(student.path))
    return plain


def rank_of(student: ModelRef) -> int:
    """The largest rank of its LoRA."""
    from qstar_core.engine.adapter import adapter_config

    if student.adapter is None:
        return 0
    config = adapter_config(Path(student.adapter.path))
    return int(max(config.r, *config.rank_pattern.values())) if config.rank_pattern else int(config.r)
