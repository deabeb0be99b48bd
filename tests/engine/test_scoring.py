"""A reward model reads a conversation, alike alone and in a batch, and only from a checkpoint made to score."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from qstar_core.engine.scoring import RewardModel
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import Message, Role
from qstar_core.tiny.tokenizer import build_tokenizer


def checkpoint(folder: Path, kind: type = LlamaForSequenceClassification, labels: int = 1, seed: int = 0,
               pickled: bool = False) -> Path:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    model = kind(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, num_labels=labels,
    ))
    model.save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def conversation(answer: str) -> tuple[Message, ...]:
    return Message(role=Role.USER, content="sort 7 3 12"), Message(role=Role.ASSISTANT, content=answer)


def test_a_score_is_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    model = RewardModel(checkpoint(tmp_path), "cpu")
    talks = [conversation("3 7 12 " * i + "answer 3") for i in (1, 40, 2, 3, 5, 1, 7, 8, 9, 10, 4)]
    together = model.score(talks)
    assert together == pytest.approx([model.score([talk])[0] for talk in talks], abs=1e-5)
    assert len({round(score, 5) for score in together}) > 5 and together[0] == pytest.approx(together[5], abs=1e-5)
    assert model.score([]) == []


@pytest.mark.parametrize(("changes", "told"), [
    ({"kind": LlamaForCausalLM}, "lack score.weight"), ({"labels": 3}, "3 outputs"), ({"pickled": True}, "cannot load"),
])
def test_what_was_not_made_to_score_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        RewardModel(checkpoint(tmp_path, **changes), "cpu")  # type: ignore[arg-type]


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    model = RewardModel(checkpoint(tmp_path), "cpu")
    model._network.score.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="no number"):
        model.score([conversation("answer 3")])
