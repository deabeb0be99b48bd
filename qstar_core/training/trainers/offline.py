"""Trainers that learn from rows as they are: SFT, pairs, labelled completions."""

from __future__ import annotations

from typing import Any

from qstar_core.errors import DataError, ModelError
from qstar_core.recipes import Cpo, Dpo, Kto, Orpo, Sft
from qstar_core.training.trainers.base import Parts

_LOOKED_AT = 200

def sft(parts: Parts[Sft]) -> Any:
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(**parts.arguments(), max_length=parts.recipe.max_length, completion_only_loss=True,
                       loss_type=parts.recipe.loss)
    trainer = SFTTrainer(args=config, **parts.common())
    _check_endings(trainer.train_dataset, parts)
    return trainer


def _check_endings(table: Any, parts: Parts[Sft]) -> None:
    """A student that never sees its end mark among what it learns never stops."""
    ids = end_ids(parts.student.model, parts.student.tokenizer)
    first = table[:_LOOKED_AT]["labels"]
    whole = [labels for labels in first if len(labels) < parts.recipe.max_length]
    if whole and not any(ids & set(labels) for labels in whole):
        raise ModelError(f"the chat template of {parts.student.ref.name} writes no end mark after a reply",
                         "mend the template, or set eos_token_id to the mark that it writes")
    if first and not whole:
        raise DataError(f"the first {len(first)} rows are all longer than training.max_length "
                        f"({parts.recipe.max_length}): none would teach the student to stop", "raise it")


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """All ids that end a turn, as the model and the tokenizer name them."""
    named = [tokenizer.eos_token_id, model.generation_config.eos_token_id, model.config.get_text_config().eos_token_id]
    return {id_ for entry in named for id_ in (entry if isinstance(entry, list) else [entry]) if id_ is not None}


def dpo(parts: Parts[Dpo]) -> Any:
    from trl import DPOConfig, DPOTrainer

    recipe = parts.recipe
    config = DPOConfig(**parts.arguments(), max_length=recipe.max_length, beta=recipe.beta,
                       loss_type=list(recipe.loss), loss_weights=list(recipe.loss_weights) or None,
                       label_smoothing=recipe.label_smoothing)
    return DPOTrainer(args=config, **parts.common())


def kto(parts: Parts[Kto]) -> Any:
    from trl import KTOConfig, KTOTrainer

    recipe = parts.recipe
    config = KTOConfig(**parts.arguments(), max_length=recipe.max_length, beta=recipe.beta, loss_type=recipe.loss,
                       desirable_weight=recipe.good_weight, undesirable_weight=recipe.bad_weight)
    return KTOTrainer(args=config, **parts.common())


def cpo(parts: Parts[Cpo]) -> Any:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    recipe = parts.recipe
    config = CPOConfig(**parts.arguments(), max_length=recipe.max_length, beta=recipe.beta, loss_type=recipe.loss,
                       cpo_alpha=recipe.sft_weight, simpo_gamma=recipe.gamma, alpha=recipe.reward_alpha)
    return CPOTrainer(args=config, **parts.common())


def orpo(parts: Parts[Orpo]) -> Any:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    config = ORPOConfig(**parts.arguments(), max_length=parts.recipe.max_length, beta=parts.recipe.beta)
    return ORPOTrainer(args=config, **parts.common())
