"""Rows and settings for TRL's trainers: `trl sft --config sft.yaml --dataset_name "$PWD"` and its sisters, run in the
exported folder (`datasets` takes no `.` for a name).

Prompt and completion are apart, so TRL puts the loss on the completion only; it renders both with the model's chat
template, whose end-of-turn token is thereby part of the completion.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Labelled, Preference, Question, Tokens, assistant
from qstar_core.exports.text import gold, yaml_text
from qstar_core.records import JsonObject

_UNLEARNT = -100
"""The label of a token that is read, not learnt."""


class Trl:
    def __init__(self, trainer: str, kinds: tuple[Kind, ...], about: str, settings: JsonObject) -> None:
        self.name, self.about, self.kinds = f"trl-{trainer}", about, kinds
        self._trainer, self._settings = trainer, settings

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return None

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        prompt: list[Any] = list(item.prompt)
        match item:
            case Tokens():
                return {"input_ids": [*prompt, *item.completion],
                        "labels": [_UNLEARNT] * len(prompt) + list(item.completion)}
            case Conversation():
                return {"prompt": prompt, "completion": [assistant(item.completion)]}
            case Preference():
                return {"prompt": prompt, "chosen": [assistant(item.chosen)], "rejected": [assistant(item.rejected)]}
            case Labelled():
                return {"prompt": prompt, "completion": [assistant(item.completion)], "label": item.good}
            case Question():
                return {"prompt": prompt, "solution": gold(item.answer)}

    def configuration(self, made: Made) -> dict[str, str]:
        evaluation = {"eval_strategy": "epoch", "dataset_test_split": "validation"} if made.validation else {}
        settings = {"model_name_or_path": made.student, **evaluation, "output_dir": "checkpoint",
                    **self._settings}
        command = f'trl {self._trainer} --config {self._trainer}.yaml --dataset_name "$PWD"'
        return {f"{self._trainer}.yaml": yaml_text(command, settings)}


TRL = (
    Trl("sft", (Kind.CONVERSATIONS, Kind.TOKENS), "TRL's SFTTrainer",
        {"completion_only_loss": True, "learning_rate": 2.0e-5, "num_train_epochs": 1, "lr_scheduler_type": "cosine",
         "warmup_steps": 0.03}),
    Trl("dpo", (Kind.PAIRS,), "TRL's DPOTrainer", {"learning_rate": 5.0e-7, "beta": 0.1, "num_train_epochs": 1}),
    Trl("kto", (Kind.LABELLED,), "TRL's KTOTrainer", {"learning_rate": 5.0e-7, "beta": 0.1, "num_train_epochs": 1}),
    Trl("grpo", (Kind.QUESTIONS,), "TRL's GRPOTrainer",
        {"reward_funcs": ["accuracy_reward"], "learning_rate": 1.0e-6, "num_generations": 8, "num_train_epochs": 1}),
)
