"""A Llama with wider heads that computes the same: vLLM's attention on CPU takes heads of certain sizes only, and the
built-in tiny models have smaller ones.

What is added is zero. Rotations pair number i with number i + d/2 and turn by θ^(-2i/d), so the halves move apart and
θ grows to the power of new/old; scores are divided by the root of the wider size, which the queries make up for.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from qstar_core.records import JsonObject

_NARROWEST = 32
_WEIGHTS, _ADAPTER = "model.safetensors", "adapter_model.safetensors"


def too_narrow(config: JsonObject) -> bool:
    """Whether it is a plain Llama whose heads the CPU cannot take and this module can widen."""
    rope = config.get("rope_parameters") or {}
    plain = config.get("model_type") == "llama" and rope.get("rope_type", "default") == "default"
    return plain and not config.get("attention_bias") and head_size(config) < _NARROWEST


def head_size(config: JsonObject) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def widen(source: Path, target: Path) -> None:
    """A copy of the checkpoint in one file, with heads that are wide enough."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    size = head_size(config)
    weights = load_file(target / _WEIGHTS)
    save_file({name: _widened(name, weight, size) for name, weight in weights.items()}, target / _WEIGHTS,
              metadata={"format": "pt"})
    rope = dict(config.get("rope_parameters") or {"rope_type": "default", "rope_theta": config["rope_theta"]})
    rope["rope_theta"] = float(rope["rope_theta"]) ** (_NARROWEST / size)
    config.update(head_dim=_NARROWEST, rope_parameters=rope)
    config.pop("rope_theta", None)
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")


def widen_adapter(source: Path, target: Path, size: int) -> None:
    """A copy of a LoRA that fits the widened base; `size` is that of the base's own heads."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    weights = load_file(target / _ADAPTER)
    save_file({name: _widened(name, weight, size) for name, weight in weights.items()}, target / _ADAPTER,
              metadata={"format": "pt"})


def _widened(name: str, weight: Tensor, size: int) -> Tensor:
    """A LoRA's A has the layer's columns and its B the layer's rows."""
    kind = name.rpartition("self_attn.")[2].removesuffix(".weight")
    if kind in ("q_proj", "q_proj.lora_B"):
        return _apart(weight * math.sqrt(_NARROWEST / size), size)
    if kind in ("k_proj", "k_proj.lora_B"):
        return _apart(weight, size)
    if kind in ("v_proj", "v_proj.lora_B"):
        return _behind(weight, size)
    if kind in ("o_proj", "o_proj.lora_A"):
        weight = _behind(weight.T, size).T.contiguous()
    return weight


def _apart(weight: Tensor, size: int) -> Tensor:
    """[heads·size, in] with the halves of every head moved apart."""
    halves = weight.view(-1, 2, size // 2, weight.shape[1])
    wide = halves.new_zeros(halves.shape[0], 2, _NARROWEST // 2, weight.shape[1])
    wide[:, :, : size // 2] = halves
    return wide.reshape(-1, weight.shape[1]).contiguous()


def _behind(weight: Tensor, size: int) -> Tensor:
    """[heads·size, in] with zeros after every head."""
    heads = weight.reshape(-1, size, weight.shape[1])
    wide = heads.new_zeros(heads.shape[0], _NARROWEST, weight.shape[1])
    wide[:, :size] = heads
    return wide.reshape(-1, weight.shape[1]).contiguous()
