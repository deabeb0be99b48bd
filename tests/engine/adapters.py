"""Adapters with noise in them, saved as a trainer would."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model

TARGETS = ["q_proj", "v_proj", "down_proj"]


def save_adapter(folder: Path, network: Any, config: PeftConfig | None = None, base: str | None = None,
                 scale: float = 0.3) -> Path:
    """The adapter's weights are noise of this scale; 0 leaves its base as it is."""
    config = config or LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS)
    torch.manual_seed(11)
    tuned = get_peft_model(copy.deepcopy(network), config)
    for name, parameter in tuned.named_parameters():
        if any(part.startswith(("lora_", "ia3_")) for part in name.split(".")):
            parameter.data.normal_(0.0, scale)
        elif "modules_to_save" in name:
            parameter.data += scale * torch.randn_like(parameter)
    tuned.peft_config["default"].base_model_name_or_path = base
    tuned.save_pretrained(str(folder))
    return folder
