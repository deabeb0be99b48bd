"""Recipe → trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qstar_core.recipes import RECIPES
from qstar_core.training.trainers import offline, online, tokens
from qstar_core.training.trainers.base import Parts

BUILDERS: dict[str, Callable[[Any], Any]] = {
    "sft": offline.sft, "weighted_sft": tokens.weighted_sft, "logit_distillation": tokens.logit_distillation,
    "dpo": offline.dpo, "cpo": offline.cpo, "simpo": offline.cpo, "orpo": offline.orpo, "kto": offline.kto,
    "grpo": online.grpo, "gspo": online.grpo, "rloo": online.rloo, "gkd": online.gkd,
    "on_policy_distillation": online.on_policy_distillation, "self_distillation": online.self_distillation,
}


def build_trainer(parts: Parts[Any]) -> Any:
    return BUILDERS[next(name for name, kind in RECIPES.items() if kind is type(parts.recipe))](parts)
