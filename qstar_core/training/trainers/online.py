"""Trainers that draw completions of the student: policy gradients with a reward, and distillation."""

from __future__ import annotations

from typing import Any

from qstar_core.errors import DataError
from qstar_core.recipes import Gkd, Grpo, Online, OnPolicyDistillation, Rewarded, Rloo, SelfDistillation
from qstar_core.training.rewards import RewardFunction
from qstar_core.training.trainers.base import Parts


def grpo(parts: Parts[Grpo]) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    recipe = parts.recipe
    config = GRPOConfig(**(parts.arguments() | _drawing(parts)), beta=recipe.beta, epsilon=recipe.epsilon,
                        epsilon_high=recipe.epsilon_high, num_iterations=recipe.iterations, loss_type=recipe.loss,
                        importance_sampling_level=recipe.level, scale_rewards=recipe.scale)
    return GRPOTrainer(args=config, reward_funcs=_reward(parts), **parts.common())


def rloo(parts: Parts[Rloo]) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    recipe = parts.recipe
    config = RLOOConfig(**(parts.arguments() | _drawing(parts)), beta=recipe.beta, epsilon=recipe.epsilon,
                        num_iterations=recipe.iterations)
    return RLOOTrainer(args=config, reward_funcs=_reward(parts), **parts.common())


def gkd(parts: Parts[Gkd]) -> Any:
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    recipe = parts.recipe
    config = GKDConfig(**parts.arguments(), max_length=recipe.max_length, lmbda=recipe.on_policy, beta=recipe.beta,
                       temperature=recipe.temperature, max_new_tokens=recipe.max_new_tokens)
    common = parts.common()
    for split in ("train_dataset", "eval_dataset"):
        if common[split] is not None:
            common[split] = common[split].map(_conversation, remove_columns=common[split].column_names)
    return GKDTrainer(args=config, teacher_model=parts.teacher, **common)


def on_policy_distillation(parts: Parts[OnPolicyDistillation]) -> Any:
    from trl import DistillationConfig, DistillationTrainer

    recipe = parts.recipe
    config = DistillationConfig(**parts.arguments(), beta=recipe.beta, temperature=recipe.temperature,
                                max_completion_length=recipe.max_new_tokens)
    common = parts.common()
    for split in ("train_dataset", "eval_dataset"):
        if common[split] is not None:
            common[split] = common[split].select_columns(["prompt"])
    return DistillationTrainer(args=config, teacher_model=parts.teacher, **common)


def self_distillation(parts: Parts[SelfDistillation]) -> Any:
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer

    recipe = parts.recipe
    config = SDFTConfig(**(parts.arguments() | _drawing(parts)), max_prompt_length=recipe.max_length,
                        distillation_alpha=recipe.beta, distillation_topk=min(recipe.top_k, _width(parts)),
                        teacher_model_kind=recipe.teacher, teacher_prompt_template=recipe.template)
    common = parts.common()
    for split in ("train_dataset", "eval_dataset"):
        if common[split] is not None:
            common[split] = common[split].rename_column("completion", "privileged_context")
    return SDFTTrainer(args=config, **common)


def _drawing(parts: Parts[Online]) -> dict[str, Any]:
    """A step draws `batch_size` completions: `generations` for each of its prompts."""
    recipe = parts.recipe
    prompts = recipe.batch_size // recipe.generations
    if len(parts.rows.train) < prompts:
        raise DataError(f"there are {len(parts.rows.train)} prompts, and a step takes {prompts}",
                        "lower training.batch_size, raise training.generations, or give more prompts")
    return {"num_generations": recipe.generations, "max_completion_length": recipe.max_new_tokens,
            "temperature": recipe.temperature,
            # portions of a look at the validation split hold whole groups, too
            "per_device_eval_batch_size": recipe.generations}


def _width(parts: Parts[Online]) -> int:
    return int(parts.student.model.config.get_text_config().vocab_size)


def _reward(parts: Parts[Rewarded]) -> Any:
    reward = parts.reward
    if reward is None:
        raise TypeError("a recipe with a reward was built without one")
    return _as_trl(reward)


def _as_trl(reward: RewardFunction) -> Any:
    """TRL calls with a list a column of the rows."""

    def scored(prompts: list[Any], completions: list[Any], solution: list[str], **columns: Any) -> list[float | None]:
        return reward(prompts, [turns[0]["content"] for turns in completions], solution)

    scored.__name__ = reward.name
    return scored


def _conversation(row: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [*row["prompt"], *row["completion"]]}
