"""What two models ask of a device, and what the device has: the numbers of the memory plan, and how many tokens a step
reads where the settings leave it open. Nothing of vLLM is needed.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from qstar_core.config import EngineSettings
from qstar_core.engine.hf import read_config
from qstar_core.engine.vllm.launch import BLOCK
from qstar_core.engine.vllm.layout import weights_of
from qstar_core.engine.vllm.memory import Load, Plan, plan_memory
from qstar_core.records import ModelRef

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FLOATS = {"F64", "F32", "F16", "BF16"}  # what vLLM turns into its own precision; the rest is quantised and stays
_BITS = {"F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8, "I16": 16, "I32": 32, "U32": 32, "I64": 64, "BOOL": 8}
_BUDGET = 8192
_SHARE = {"cpu": 0.8, "cuda": 0.92}  # of what is free: other programs and vLLM's own odds and ends take the rest
_GRAPHS = {"cpu": 2**28, "cuda": 2**30}  # what vLLM takes beside weights, caches and activations
_MIXED = 6 * 32_000_000 * 4  # bytes: the passes over logits that are mixed at once (mixing._CELLS)
_ACTIVATIONS = 16  # hidden states of a token that are alive at once, MLPs included


def device_kind(device: str) -> str:
    kind = device.partition(":")[0]
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return kind if kind in _SHARE else "cuda"


def precision(settings: EngineSettings, kind: str) -> str:
    return settings.dtype if settings.dtype != "auto" else "float32" if kind == "cpu" else "bfloat16"


def free_memory(kind: str) -> int:
    """Bytes that an engine on this device may use."""
    free = psutil.virtual_memory().available if kind == "cpu" else torch.cuda.mem_get_info()[0]
    return int(free * _SHARE[kind])


def planned(teacher: Path, student: Path | None, rows: int, context: int, settings: EngineSettings, kind: str,
            free: int) -> Plan:
    """`student` None: its rows are among the teacher's."""
    dtype = precision(settings, kind)
    loads = [None if path is None else Load(weight_bytes(path, dtype), block_bytes(path, dtype))
             for path in (teacher, student)]
    assert loads[0] is not None
    config = read_config(teacher).get_text_config()
    logits = int(rows * config.vocab_size * 4)
    activations = int(step_budget(rows, context, settings) * config.hidden_size * _BYTES[dtype] * _ACTIVATIONS)
    working = 2 * logits + min(6 * logits, _MIXED) + activations + _GRAPHS[kind]
    return plan_memory(free, loads[0], loads[1], rows=rows, context=context, working=working,
                       kv_cache_gib=settings.vllm.kv_cache_gib)


def foreseen(student: ModelRef, teacher: ModelRef, context: int, settings: EngineSettings) -> Plan:
    """The plan of an engine that would start now; adapters that have to be merged count as their base."""
    weights = weights_of(student, teacher, settings.share_forward)
    kind = device_kind(settings.device)
    own = None if weights.student is None else Path(weights.student.path)
    rows = settings.batch_size * (2 if own is None else 1)
    return planned(Path(teacher.path), own, rows, context, settings, kind, free_memory(kind))


def block_bytes(model: Path, dtype: str) -> int:
    """Keys and values of a block in all layers."""
    config = read_config(model).get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(BLOCK * 2 * config.num_hidden_layers * heads * size * _BYTES[dtype])


def weight_bytes(model: Path, dtype: str) -> int:
    """By the headers of its files."""
    total = 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 — it is no mapping
                part = tensors.get_slice(name)
                kind = part.get_dtype()
                each = _BYTES[dtype] if kind in _FLOATS else _BITS.get(kind, 32) / 8
                total += int(prod(part.get_shape()) * each)
    return total


def step_budget(rows: int, context: int, settings: EngineSettings) -> int:
    """Tokens of a step: both prompts of a sample and a token for every row; never less than a token for every row."""
    return max(settings.vllm.step_tokens or max(_BUDGET, 2 * context + rows), rows)


def resumable(budget: int, rows: int) -> int:
    """At least enough for all rows to begin again in one step, each from its last cached block: with less they would
    take turns, and none would stay."""
    return max(budget, rows * (BLOCK + 1))
