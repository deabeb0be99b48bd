"""Adapters (PEFT) on a base: a plain LoRA acts on some rows of the base's own forward, so that the base stays whole for
the other role; every other kind is merged into weights of its own.

Contract: the logits of adapted rows are those of the merged model up to float noise, all other rows are the base's to
the last bit. Safetensors only; an adapter that does not fit its base is refused, never partly loaded. This module is
imported where an adapter is at hand: PEFT takes its time, and wakes every quantisation library that is installed.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.lora import LoraLayer
from peft.utils import load_peft_weights, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers.pytorch_utils import Conv1D

from qstar_core.engine.adapted import AdaptedLinear, AdaptedNetwork, Rows
from qstar_core.errors import ModelError

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_NAME = "default"
_OTHER_BASE = "set student.base to the model that it was trained on"

# What a LoRA may set and still be nothing but B·A beside a linear layer; every other field must have its default.
_PLAIN = frozenset({
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "use_rslora",
    "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "runtime_config", "megatron_core",
    "qalora_group_size",
})
_PLAIN_STARTS = (True, False, "gaussian")  # the others change the base's weights before training


def adapter_config(folder: Path) -> PeftConfig:
    """The adapter's own description of itself, refused where this PEFT would read it only in part."""
    try:
        given = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        known = {field.name for field in fields(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(given["peft_type"])])}
        if unknown := sorted(given.keys() - known):
            raise ModelError(f"{folder / _CONFIG} sets {unknown[0]}, which the installed peft does not know",
                             "upgrade peft, or merge the adapter with the version that made it")
        config: PeftConfig = PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"no usable {_CONFIG} in {folder}: {error!r}", "give a complete PEFT adapter") from None
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"{folder} has no {_WEIGHTS}", "save the adapter as safetensors; pickles are refused")
    if config.is_prompt_learning or getattr(config, "megatron_config", None):
        raise ModelError(f"{folder} is an adapter of kind {PeftType(config.peft_type).value}, which cannot be merged",
                         "use LoRA, or give a full checkpoint")
    return config


def acts_on_rows(config: PeftConfig) -> bool:
    """Whether the adapter is a plain LoRA, which can act on some rows and leave the others alone."""
    if type(config) is not LoraConfig or config.init_lora_weights not in _PLAIN_STARTS:
        return False
    plain = LoraConfig()
    others = (field.name for field in fields(config) if field.name not in _PLAIN | {"init_lora_weights"})
    return all(not getattr(config, name) or getattr(config, name) == getattr(plain, name) for name in others)


def on_linear_layers(folder: Path) -> bool:
    """Whether a LoRA leaves embeddings alone, as its own tensors say."""
    try:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            return not any("lora_embedding" in name for name in file.keys())  # noqa: SIM118, no mapping
    except SafetensorError as error:
        raise ModelError(f"{folder / _WEIGHTS} cannot be read: {error}", "save the adapter again") from None


def adapted_on_rows(network: Any, folder: Path) -> AdaptedNetwork | None:
    """The adapter beside the network's own linear layers, or None where it also changes layers of other kinds."""
    tuned = _with_adapter(network, folder)
    layers = {name: part for name, part in network.named_modules() if isinstance(part, LoraLayer)}
    if not all(isinstance(layer.get_base_layer(), (torch.nn.Linear, Conv1D)) for layer in layers.values()):
        tuned.unload()
        return None
    rows = Rows()
    for name, layer in layers.items():
        parent, _, leaf = name.rpartition(".")
        down, up = (part[_NAME].get_parameter("weight").detach().T for part in (layer.lora_A, layer.lora_B))
        adapted = AdaptedLinear(layer.get_base_layer(), down.to(network.dtype),
                                (up * layer.scaling[_NAME]).to(network.dtype), rows)
        setattr(network.get_submodule(parent), leaf, adapted)
    return AdaptedNetwork(network, rows)


def merged(network: Any, folder: Path) -> Any:
    """The network with the adapter in its weights."""
    return _with_adapter(network, folder).merge_and_unload(safe_merge=True).eval().requires_grad_(False)


def _told(error: BaseException) -> str:
    """torch lists every tensor that does not fit; the first says enough."""
    return " ".join(str(error).split("\n")[:2])


def _with_adapter(network: Any, folder: Path) -> PeftModel:
    config = adapter_config(folder)
    config.inference_mode = True
    try:
        tuned = PeftModel(network, config, adapter_name=_NAME)
        weights = load_peft_weights(str(folder), device=str(network.device))
        found: Any = set_peft_model_state_dict(tuned, weights, adapter_name=_NAME)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} does not fit its base: {_told(error)}", _OTHER_BASE) from None
    lacking = sorted(name for name in found.missing_keys if _NAME in name.split("."))
    if odd := sorted(found.unexpected_keys) or lacking:
        raise ModelError(f"the adapter in {folder} does not fit its base: {odd[0]} has no counterpart", _OTHER_BASE)
    return tuned.eval()
