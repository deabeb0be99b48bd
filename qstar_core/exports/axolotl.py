"""Rows and settings for Axolotl: `axolotl train axolotl.yaml`.

Every turn says whether it is trained on: earlier assistant turns of a prompt are read, not learnt.
"""

from __future__ import annotations

import pyarrow as pa

from qstar_core.exports.base import Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Preference, assistant
from qstar_core.exports.text import yaml_text
from qstar_core.records import JsonObject


class Axolotl:
    name, about = "axolotl", "Axolotl"
    kinds = (Kind.CONVERSATIONS, Kind.PAIRS)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return None

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        match item:
            case Conversation():
                return {"messages": [*({**turn, "training": False} for turn in item.prompt),
                                     {**assistant(item.completion), "training": True}]}
            case Preference():
                return {"messages": list(item.prompt), "chosen": assistant(item.chosen),
                        "rejected": assistant(item.rejected)}
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        if made.kind is Kind.CONVERSATIONS:
            reading: JsonObject = {"type": "chat_template", "field_messages": "messages", "roles_to_train": [],
                                   "message_field_training": "training", "train_on_eos": "turn"}
            training: JsonObject = {"learning_rate": 1.0e-4}
        else:
            reading = {"type": "chat_template.default", "field_messages": "messages", "field_chosen": "chosen",
                       "field_rejected": "rejected"}
            training = {"rl": "dpo", "rl_beta": 0.1, "learning_rate": 5.0e-7}
        settings = {
            "base_model": made.student, "chat_template": "tokenizer_default",
            "datasets": [{"path": "train", "data_files": list(made.train), "ds_type": "json", **reading}],
            **({"test_datasets": [{"path": "validation", "data_files": list(made.validation), "ds_type": "json",
                                   "split": "train", **reading}]} if made.validation else {}),
            **training, "adapter": "lora", "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05,
            "lora_target_linear": True, "sequence_len": 2048, "micro_batch_size": 1, "gradient_accumulation_steps": 32,
            "num_epochs": 1, "optimizer": "adamw_torch", "lr_scheduler": "cosine", "warmup_ratio": 0.03,
            "output_dir": "checkpoint",
        }
        return {"axolotl.yaml": yaml_text("axolotl train axolotl.yaml", settings)}
