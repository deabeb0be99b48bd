"""The memory plan's laws: never more than there is, never less than fits, and what is refused is told with numbers."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from qstar_core.engine.vllm.budget import block_bytes, planned, precision, weight_bytes
from qstar_core.engine.vllm.launch import BLOCK
from qstar_core.engine.vllm.memory import Load, Plan, plan_memory
from qstar_core.errors import ConfigError
from tests.vllm.models import Tiny, settings_of

GIB = 2**30
LOADS = st.builds(Load, st.integers(1, 80 * GIB), st.integers(1024, 64 * 2**20))


def made(free: int, teacher: Load, student: Load | None, rows: int, context: int, cache: float | None) -> Plan | None:
    try:
        return plan_memory(free, teacher, student, rows=rows, context=context, working=GIB, kv_cache_gib=cache)
    except ConfigError:
        return None


@given(st.integers(0, 200 * GIB), LOADS, st.none() | LOADS, st.integers(1, 256), st.integers(8, 40_000))
def test_it_fits_and_wastes_nothing(free: int, teacher: Load, student: Load | None, samples: int,
                                    context: int) -> None:
    sides = 1 if student is not None else 2  # a sample has two rows in one engine
    rows = samples * sides
    plan = made(free, teacher, student, rows, context, None)
    whole = rows * -(-context // BLOCK)
    if plan is None:
        smallest = made(free + 10**15, teacher, student, sides, context, None)
        assert smallest is not None and (smallest.total > free or samples > 1)
        return
    assert plan.total <= free and plan.blocks * BLOCK >= sides * context
    each = teacher.block + (student.block if student is not None else 0)
    assert plan.blocks >= whole if plan.whole else plan.total + each > free
    more = made(free + GIB, teacher, student, rows, context, None)
    assert more is not None and more.blocks >= plan.blocks
    if student is not None:
        assert plan.student_cache // student.block >= plan.blocks, "the student is never short of what the teacher has"


@given(st.floats(0.001, 100), st.integers(1, 64))
def test_a_cache_that_is_set_is_taken_or_refused(cache: float, rows: int) -> None:
    teacher, student = Load(15 * GIB, 4 * 2**20), Load(3 * GIB, 2**20)
    plan = made(79 * GIB, teacher, student, rows, 8192, cache)
    if plan is None:
        assert cache * GIB < (256 + 5) * teacher.block or cache > 40
    else:
        assert cache * GIB - teacher.block < plan.teacher_cache <= cache * GIB and plan.total <= plan.free


def test_what_cannot_be_is_refused_with_the_numbers() -> None:
    teacher, student = Load(15 * GIB, 4 * 2**20), Load(3 * GIB, 2**20)
    sizes = {"rows": 32, "context": 8192, "working": 2 * GIB}
    with pytest.raises(ConfigError, match=r"the device has 16 GiB, and vLLM needs 21\..* teacher 15 \+ cache 1\.02, "
                                          r"student 3 \+ cache 0\..*, steps 2, of 16 GiB"):
        plan_memory(16 * GIB, teacher, student, kv_cache_gib=None, **sizes)
    with pytest.raises(ConfigError, match=r"kv_cache_gib = 0\.5 holds 4096 tokens, and one sample in a context of 8192 "
                                          r"takes 8320 — set at least 1\.02"):
        plan_memory(79 * GIB, teacher, student, kv_cache_gib=0.5, **sizes)
    with pytest.raises(ConfigError, match=r"kv_cache_gib = 60 does not fit: teacher 15 \+ cache 60, student 3"):
        plan_memory(79 * GIB, teacher, student, kv_cache_gib=60, **sizes)
    plan = plan_memory(79 * GIB, teacher, student, kv_cache_gib=None, **sizes)
    assert plan.whole and "262272 tokens of cache, room for every sample in the whole context" in str(plan)


def test_what_is_left_is_shared_where_not_everything_fits() -> None:
    teacher, student = Load(15 * GIB, 4 * 2**20), Load(3 * GIB, 2**20)
    plan = plan_memory(24 * GIB, teacher, student, kv_cache_gib=None, rows=32, context=8192, working=2 * GIB)
    assert not plan.whole and "room for fewer samples than that" in str(plan)
    assert plan.total <= plan.free < plan.total + teacher.block + student.block


def test_weights_are_read_from_the_headers(tmp_path: Path) -> None:
    """Floats take the engine's precision; quantised numbers stay what they are."""
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.int8)}, str(tmp_path / "one.safetensors"))
    save_file({"c": torch.zeros(2, dtype=torch.bfloat16)}, str(tmp_path / "two.safetensors"))
    assert weight_bytes(tmp_path, "bfloat16") == 2 * 15 + 7 + 2 * 2
    assert weight_bytes(tmp_path, "float32") == 4 * 15 + 7 + 4 * 2


def test_a_plan_of_real_checkpoints(tiny: Tiny) -> None:
    settings = settings_of().engine
    teacher, student = Path(tiny.teacher.path), Path(tiny.student.path)
    plan = planned(teacher, student, 8, 160, settings, "cpu", 4 * GIB)
    assert plan.whole and plan.blocks == 8 * 5 + 4 and plan.teacher.block == block_bytes(teacher, "float32")
    stored = sum(file.stat().st_size for file in teacher.glob("*.safetensors"))
    assert 0.9 * stored < plan.teacher.weights < stored, "the rest is headers"
    assert precision(settings_of({"dtype": "auto"}).engine, "cuda") == "bfloat16"
    with pytest.raises(ConfigError, match="the device has"):
        planned(teacher, student, 8, 160, settings, "cpu", 2**20)


def test_tensor_parallelism_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="every GPU of a tensor-parallel engine would draw tokens of its own"):
        settings_of({"vllm": {"tensor_parallel": 2}})
