"""Rows, `dataset_info.json` and training settings for LLaMA-Factory: `llamafactory-cli train train.yaml`."""

from __future__ import annotations

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Labelled, Preference, assistant
from qstar_core.exports.text import json_text, yaml_text
from qstar_core.records import JsonObject

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_STAGES: dict[Kind, JsonObject] = {
    Kind.CONVERSATIONS: {"stage": "sft", "mask_history": True, "learning_rate": 1.0e-4},
    Kind.PAIRS: {"stage": "dpo", "pref_beta": 0.1, "pref_loss": "sigmoid", "learning_rate": 5.0e-7},
    Kind.LABELLED: {"stage": "kto", "pref_beta": 0.1, "learning_rate": 5.0e-7},
}
_ROLES = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
          "observation_tag": "tool", "system_tag": "system"}


class LlamaFactory:
    name, about = "llama-factory", "LLaMA-Factory"
    kinds = tuple(_STAGES)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return None

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        match item:
            case Conversation():
                return {"messages": [*item.prompt, assistant(item.completion)]}
            case Preference():
                return {"conversations": [{"from": _SPEAKERS[turn["role"]], "value": turn["content"]}
                                          for turn in item.prompt],
                        "chosen": {"from": "gpt", "value": item.chosen},
                        "rejected": {"from": "gpt", "value": item.rejected}}
            case Labelled():
                return {"messages": [*item.prompt, assistant(item.completion)], "label": item.good}
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        name = f"qstar_{made.kind.value}"
        info = {f"{name}{suffix}": self._entry(made.kind, folder)
                for suffix, folder, there in (("", "train", True), ("_validation", "validation", bool(made.validation)))
                if there}
        evaluation = {"eval_dataset": f"{name}_validation", "eval_strategy": "epoch"} if made.validation else {}
        settings = {"model_name_or_path": made.student, "do_train": True, "finetuning_type": "lora", "lora_rank": 16,
                    "lora_target": "all", "dataset_dir": ".", "dataset": name, **evaluation, "output_dir": "checkpoint",
                    "num_train_epochs": 1.0, "lr_scheduler_type": "cosine", "warmup_ratio": 0.03, **_STAGES[made.kind]}
        return {"dataset_info.json": json_text(info),
                "train.yaml": yaml_text("llamafactory-cli train train.yaml", settings)}

    @staticmethod
    def _entry(kind: Kind, folder: str) -> JsonObject:
        """A folder as `file_name` stands for all files in it."""
        if kind is Kind.PAIRS:
            return {"file_name": folder, "formatting": "sharegpt", "ranking": True,
                    "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
                    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
                             "observation_tag": "observation", "system_tag": "system"}}
        columns = {"messages": "messages", **({"kto_tag": "label"} if kind is Kind.LABELLED else {})}
        return {"file_name": folder, "formatting": "sharegpt", "columns": columns, "tags": _ROLES}
