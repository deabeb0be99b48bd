"""Parquet and the command for verl: questions with a gold answer for reinforcement learning, conversations for SFT."""

from __future__ import annotations

import pyarrow as pa

from qstar_core.exports.base import TURNS, Made
from qstar_core.exports.kinds import Conversation, Item, Kind, Question, assistant
from qstar_core.exports.text import gold, script
from qstar_core.records import JsonObject

_QUESTIONS = pa.schema([
    ("data_source", pa.string()), ("prompt", TURNS), ("ability", pa.string()),
    ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
    ("extra_info", pa.struct([("split", pa.string()), ("index", pa.int64()), ("prompt_id", pa.string()),
                              ("pass_rate", pa.float64())])),
])
_CONVERSATIONS = pa.schema([("messages", TURNS)])


class Verl:
    name, about = "verl", "verl"
    kinds = (Kind.QUESTIONS, Kind.CONVERSATIONS)

    def schema(self, kind: Kind, data: pa.Schema) -> pa.Schema | None:
        return _QUESTIONS if kind is Kind.QUESTIONS else _CONVERSATIONS

    def row(self, item: Item, split: str, index: int) -> JsonObject:
        match item:
            case Question():
                return {"data_source": item.source, "prompt": list(item.prompt), "ability": item.kind,
                        "reward_model": {"style": "rule", "ground_truth": gold(item.answer)},
                        "extra_info": {"split": split, "index": index, "prompt_id": item.prompt_id,
                                       "pass_rate": item.pass_rate}}
            case Conversation():
                return {"messages": [*item.prompt, assistant(item.completion)]}
            case _:
                raise TypeError(f"{self.name} has no rows of this kind")

    def configuration(self, made: Made) -> dict[str, str]:
        files = (f"data.train_files=[{','.join(made.train)}]",
                 f"data.val_files=[{','.join(made.validation or made.train)}]")
        if made.kind is Kind.QUESTIONS:
            return {"train.sh": script(
                ("python", "-m", "verl.trainer.main_ppo"), ("algorithm.adv_estimator=grpo",), files,
                ("data.prompt_key=prompt",), (f"actor_rollout_ref.model.path={made.student}",),
                ("actor_rollout_ref.actor.optim.lr=1e-6",), ("actor_rollout_ref.rollout.n=8",))}
        return {"train.sh": script(
            ("torchrun", "--standalone", "-m", "verl.trainer.fsdp_sft_trainer"), files,
            ("data.multiturn.enable=true", "data.multiturn.messages_key=messages"),
            (f"model.partial_pretrain={made.student}",))}
