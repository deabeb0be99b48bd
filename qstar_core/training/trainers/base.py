"""What every trainer is built from, and the arguments that all of them take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from qstar_core.recipes import Rewarded, Training
from qstar_core.training.hardware import Hardware, Portions
from qstar_core.training.rewards import RewardFunction
from qstar_core.training.rows import Rows
from qstar_core.training.students import Student

R = TypeVar("R", bound=Training, covariant=True)


@dataclass(frozen=True, slots=True)
class Parts(Generic[R]):
    """`teacher` and `reward` are there where the recipe asks for them."""

    recipe: R
    student: Student
    rows: Rows
    hardware: Hardware
    portions: Portions
    folder: Path
    callbacks: list[Any]
    teacher: Any | None = None
    reward: RewardFunction | None = None

    def common(self) -> dict[str, Any]:
        """What every trainer's constructor takes."""
        return {"model": self.student.model, "train_dataset": self.rows.train, "eval_dataset": self.rows.validation,
                "processing_class": self.student.tokenizer, "peft_config": self.student.peft,
                "callbacks": self.callbacks}

    def arguments(self) -> dict[str, Any]:
        """What every trainer's configuration takes. TRL's own defaults are for GPUs."""
        recipe, hardware = self.recipe, self.hardware
        evaluating = self.rows.validation is not None
        best = evaluating and recipe.patience is not None
        return {
            "output_dir": str(self.folder), "gradient_accumulation_steps": self.portions.accumulation,
            "per_device_train_batch_size": self.portions.micro, "per_device_eval_batch_size": self.portions.micro,
            "learning_rate": recipe.learning_rate, "lr_scheduler_type": recipe.schedule,
            "warmup_steps": min(recipe.warmup, 0.999), "weight_decay": recipe.weight_decay,
            "max_grad_norm": recipe.clip, "num_train_epochs": recipe.epochs, "max_steps": recipe.max_steps or -1,
            "seed": recipe.seed, "data_seed": recipe.seed, "use_cpu": hardware.cpu,
            "bf16": hardware.dtype is torch.bfloat16, "fp16": hardware.dtype is torch.float16,
            "gradient_checkpointing": hardware.checkpointing, "dataloader_pin_memory": hardware.device == "cuda",
            "logging_steps": 1, "logging_nan_inf_filter": False, "disable_tqdm": True,
            "report_to": ["wandb"] if recipe.wandb else "none",
            "save_strategy": "steps", "save_steps": recipe.evaluate_every if best else recipe.save_every,
            "save_total_limit": 2, "eval_strategy": "steps" if evaluating else "no",
            "eval_steps": recipe.evaluate_every, "load_best_model_at_end": best,
            "greater_is_better": isinstance(recipe, Rewarded),
            "metric_for_best_model": "eval_reward" if isinstance(recipe, Rewarded) else "eval_loss",
        }
