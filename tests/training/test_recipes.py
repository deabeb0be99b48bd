"""Every recipe trains on the small models: its loss falls on a fixed batch, or its reward rises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from qstar_core.checkpoints import fetch_checkpoint
from qstar_core.errors import ConfigError
from qstar_core.models import resolve
from qstar_core.recipes import RECIPES, DpoLoss
from qstar_core.records import Checkpoint
from qstar_core.training.trainers.building import BUILDERS
from tests.exports.conftest import Version
from tests.training.runs import GROUPED, ONLINE, Told, request_of, settings_of, trained

OFFLINE: dict[str, dict[str, Any]] = {
    "sft": {}, "dpo": {}, "cpo": {}, "simpo": {}, "orpo": {}, "kto": {}, "logit_distillation": {},
    # the weights of few rows are dominated by one of them; a small rate keeps the steps from jumping over it
    "weighted_sft": {"level": "token", "max_weight": 2, "learning_rate": 3e-4},
    "gkd": {"on_policy": 0.0, "max_new_tokens": 40},
}
DISTILLING: dict[str, dict[str, Any]] = {
    "on_policy_distillation": ONLINE, "self_distillation": {**ONLINE, "learning_rate": 1e-3},
}
REWARDED = ("grpo", "gspo", "rloo")


def test_all_recipes_are_here() -> None:
    assert set(OFFLINE) | set(DISTILLING) | set(REWARDED) == set(RECIPES) == set(BUILDERS)


def run(version: Version, recipe: str, scorer: Any = None, **chosen: Any) -> tuple[Checkpoint, Told]:
    return trained(version.workspace.store, request_of(recipe, version.manifest.version, **chosen), scorer)


@pytest.mark.parametrize("recipe", OFFLINE)
def test_the_loss_falls_on_a_fixed_batch(version: Version, recipe: str) -> None:
    checkpoint, told = run(version, recipe, **OFFLINE[recipe])
    curve = told.curve()
    assert len(curve) == 4 and curve[-1] < curve[0], curve
    assert (checkpoint.recipe, checkpoint.line) == (recipe, "night")
    assert checkpoint.dataset_version == f"demo {version.manifest.version}"
    assert checkpoint.parents == (resolve("builtin:tiny-student", None).sha256,) != (checkpoint.sha256,)
    assert checkpoint.settings["recipe"] == recipe and checkpoint.metrics["loss"] == curve[-1]
    resolve(str(fetch_checkpoint(version.workspace.store, checkpoint)), None)


@pytest.mark.parametrize("recipe", DISTILLING)
def test_the_distance_to_the_teacher_falls(version: Version, recipe: str) -> None:
    _, told = run(version, recipe, max_steps=8, **DISTILLING[recipe])
    curve = told.curve()
    assert sum(curve[-3:]) < sum(curve[:3]), curve


class Brevity:
    """Shorter is better: something that every draw can be better or worse at."""

    name = "brevity"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[str],
                 answers: Sequence[str]) -> list[float | None]:
        assert len(prompts) == len(completions) == len(answers)
        return [-len(text.split()) / 20 for text in completions]


@pytest.mark.parametrize("recipe", REWARDED)
def test_the_reward_rises(version: Version, recipe: str) -> None:
    chosen = {**GROUPED, "max_steps": 12, "reward": "model", "beta": 0.0, "epsilon": 0.2}
    checkpoint, told = run(version, recipe, Brevity(), **chosen)
    curve = told.curve("reward")
    assert sum(curve[-4:]) > sum(curve[:4]), curve
    assert checkpoint.metrics["reward"] == curve[-1]


def test_a_reward_model_that_is_not_given_is_asked_for(version: Version) -> None:
    with pytest.raises(ConfigError, match=r"training\.reward is model, and no reward model is given"):
        run(version, "grpo", **GROUPED, reward="model")


def test_ppo_is_told_that_it_is_gone() -> None:
    with pytest.raises(ConfigError, match="TRL has no PPO trainer any more: take rloo or grpo"):
        settings_of({"recipe": "ppo"}, "builtin:tiny-student")


@pytest.mark.parametrize("loss", ["ipo", "robust", "hinge", "apo_zero", ["sigmoid", "sft"]])
def test_dpo_has_its_variants(version: Version, loss: str | list[str]) -> None:
    smoothing = 0.1 if loss == "robust" else 0.0
    _, told = run(version, "dpo", loss=loss, label_smoothing=smoothing)
    assert told.curve()[-1] < told.curve()[0]


def test_every_loss_that_is_offered_is_one_of_trls() -> None:
    import trl.trainer.dpo_config as dpo

    help_text = next(field.metadata["help"] for name, field in dpo.DPOConfig.__dataclass_fields__.items()
                     if name == "loss_type")
    assert all(f"`'{name}'`" in help_text for name in get_args(DpoLoss))
