"""Where training runs, in which precision, and in portions of which size."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from qstar_core.errors import ConfigError, TrainingError
from qstar_core.recipes import Training


@dataclass(frozen=True, slots=True)
class Hardware:
    device: str
    dtype: torch.dtype
    checkpointing: bool
    processes: int

    @property
    def cpu(self) -> bool:
        return self.device == "cpu"


def hardware_for(recipe: Training) -> Hardware:
    """ConfigError where a device, precision or kind of adapter is asked for that is not here."""
    device = _device(recipe.device)
    if recipe.peft.kind == "qlora" and device != "cuda":
        raise ConfigError(f"training.peft.kind is qlora, and training runs on {device}",
                          "4-bit weights need a CUDA device: use lora here")
    dtype = _dtype(recipe.precision, device)
    checkpointing = recipe.gradient_checkpointing == "on" or (recipe.gradient_checkpointing == "auto"
                                                              and device != "cpu")
    return Hardware(device, dtype, checkpointing, int(os.environ.get("WORLD_SIZE", "1")))


def _device(wanted: str) -> str:
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in here.items() if there)
    if not here[wanted]:
        raise ConfigError(f"training.device is {wanted}, which is not here", "use auto or cpu")
    return wanted


def _dtype(wanted: str, device: str) -> torch.dtype:
    if device == "cpu" and wanted in ("bfloat16", "float16"):
        raise ConfigError(f"training.precision is {wanted}, and training runs on CPU", "use auto or float32")
    brain = device == "cuda" and torch.cuda.is_bf16_supported()
    if wanted == "bfloat16" and not brain:
        raise ConfigError("training.precision is bfloat16, which the device has not", "use auto, float16 or float32")
    if wanted == "auto":
        return torch.bfloat16 if brain else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


@dataclass(frozen=True, slots=True)
class Portions:
    """`micro` rows at a time, `accumulation` times a step: their product, over all processes, is the batch."""

    micro: int
    accumulation: int

    def smaller(self) -> Portions:
        """About half the rows at a time, the same batch."""
        whole = self.micro * self.accumulation
        micro = _divisor(whole, self.micro // 2)
        if micro < 1:
            raise TrainingError("one row at a time does not fit into memory",
                                "lower training.max_length, use lora, or a larger device")
        return Portions(micro, whole // micro)


def portions_for(recipe: Training, processes: int) -> Portions:
    if recipe.batch_size % processes:
        raise ConfigError(f"training.batch_size ({recipe.batch_size}) is no multiple of the {processes} processes",
                          "choose another batch size or number of processes")
    each = recipe.batch_size // processes
    micro = _divisor(each, min(recipe.micro_batch, each))
    return Portions(micro, each // micro)


def _divisor(whole: int, most: int) -> int:
    """The largest divisor that is not above `most`; 0 where there is none."""
    return next((size for size in range(most, 0, -1) if whole % size == 0), 0)
