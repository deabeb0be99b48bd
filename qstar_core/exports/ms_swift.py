"""Rows and the command for ms-swift: `sh train.sh`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Labelled, Preference, Question, assistant
from qstar_core.exports.text import gold, script
from qstar_core.records import JsonObject

_COMMANDS: dict[Kind, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    Kind.CONVERSATIONS: (("swift", "sft"), (("--loss_scale", "last_round"), ("--learning_rate", "1e-4"))),
    Kind.PAIRS: (("swift", "rlhf"), (("--rlhf_type", "dpo"), ("--beta", "0.1"), ("--learning_rate", "5e-7"))),
    Kind.LABELLED: (("swift", "rlhf"), (("--rlhf_type", "kto"), ("--beta", "0.1"), ("--learning_rate", "5e-7"))),
    Kind.QUESTIONS: (("swift", "rlhf"), (("--rlhf_type", "grpo"), ("--reward_funcs", "accuracy"),
                                         ("--num_generations", "8"), ("--learning_rate", "1e-6"))),
}


class MsSwift:
    name, about = "ms-swift", "ms-swift"
    kinds = tuple(_COMMANDS)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return None

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        prompt: list[Any] = list(item.prompt)
        match item:
            case Conversation():
                return {"messages": [*prompt, assistant(item.completion)]}
            case Preference():
                return {"messages": [*prompt, assistant(item.chosen)], "rejected_response": item.rejected}
            case Labelled():
                return {"messages": [*prompt, assistant(item.completion)], "label": item.good}
            case Question():
                return {"messages": prompt, "solution": gold(item.answer)}
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        command, flags = _COMMANDS[made.kind]
        held_out = [("--val_dataset", *made.validation)] if made.validation else [("--split_dataset_ratio", "0")]
        return {"train.sh": script(command, ("--model", made.student), ("--dataset", *made.train), *held_out, *flags,
                                   ("--num_train_epochs", "1"), ("--output_dir", "checkpoint"))}
