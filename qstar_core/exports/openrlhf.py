"""Rows and the command for OpenRLHF: `sh train.sh`. Its command line names the columns, with the dotted flags of
release 0.10 and later."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Preference, Question, assistant
from qstar_core.exports.text import gold, script
from qstar_core.records import JsonObject

_COMMANDS: dict[Kind, tuple[str, tuple[tuple[str, ...], ...]]] = {
    Kind.CONVERSATIONS: ("train_sft", (("--data.dataset", "./train"), ("--data.input_key", "prompt"),
                                       ("--data.output_key", "completion"), ("--adam.lr", "2e-5"))),
    Kind.PAIRS: ("train_dpo", (("--data.dataset", "./train"), ("--data.prompt_key", "prompt"),
                               ("--data.chosen_key", "chosen"), ("--data.rejected_key", "rejected"),
                               ("--model.beta", "0.1"), ("--adam.lr", "5e-7"))),
    Kind.QUESTIONS: ("train_ppo_ray", (("--data.prompt_dataset", "./train"), ("--data.input_key", "prompt"),
                                       ("--data.label_key", "label"), ("--actor.adam.lr", "1e-6"))),
}


class OpenRlhf:
    name, about = "openrlhf", "OpenRLHF"
    kinds = tuple(_COMMANDS)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return None

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        prompt: list[Any] = list(item.prompt)
        match item:
            case Conversation():
                return {"prompt": prompt, "completion": [assistant(item.completion)]}
            case Preference():
                return {"prompt": prompt, "chosen": [assistant(item.chosen)], "rejected": [assistant(item.rejected)]}
            case Question():
                return {"prompt": prompt, "label": gold(item.answer)}
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        module, flags = _COMMANDS[made.kind]
        model = "--actor.model_name_or_path" if made.kind is Kind.QUESTIONS else "--model.model_name_or_path"
        held_out = [("--eval.dataset", "./validation"), ("--eval.split", "train")] if made.validation else []
        return {"train.sh": script(
            ("python", "-m", f"openrlhf.cli.{module}"), (model, made.student), *flags, *held_out,
            ("--data.apply_chat_template",), ("--train.max_epochs", "1"), ("--ckpt.output_dir", "checkpoint"))}
