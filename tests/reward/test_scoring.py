"""A score is read at the last attended token: under either padding, in any batch, whatever id pads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, LlamaForCausalLM

from qstar_core.engine.scoring import ScoringNetwork, score_last
from qstar_core.errors import ConfigError, DataError, EngineError, ModelError
from qstar_core.records import Message, Role
from qstar_core.reward.calibration import Calibration, read_calibration, write_calibration
from qstar_core.reward.model import load_reward_model
from tests.reward.models import asked, checkpoint

CALIBRATION = Calibration(temperature=2.0, slope=1.5, intercept=-0.5, pairs=20)


def rows() -> list[list[int]]:
    """One ends in the end mark, one in the padding id itself."""
    return [[5, 7, 9, 2], [4, 8, 2], [3] * 30, [9, 0], [6]]


def learned_positions() -> GPT2ForSequenceClassification:
    """Unlike rotary ones they are not relative: left padding moves them."""
    torch.manual_seed(0)
    return GPT2ForSequenceClassification(GPT2Config(
        vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=64, num_labels=1, initializer_range=0.3)).eval()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", [0, 2, 11])
@pytest.mark.parametrize("rotary", [True, False])
def test_the_last_attended_token_is_read_under_either_padding(tmp_path: Path, side: str, pad: int,
                                                              rotary: bool) -> None:
    network = ScoringNetwork(checkpoint(tmp_path), "cpu").network if rotary else learned_positions()
    alone = [score_last(network, torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)).item()
             for row in rows()]
    longest = max(map(len, rows()))
    fill = [[pad] * (longest - len(row)) for row in rows()]
    ids = [f + r if side == "left" else r + f for r, f in zip(rows(), fill, strict=True)]
    mask = [[0] * len(f) + [1] * len(r) if side == "left" else [1] * len(r) + [0] * len(f)
            for r, f in zip(rows(), fill, strict=True)]
    together = score_last(network, torch.tensor(ids), torch.tensor(mask)).tolist()
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(value, 4) for value in alone}) == len(alone)


def test_the_end_mark_is_read_where_it_is_also_the_padding(tmp_path: Path) -> None:
    """transformers reads the last token that is not the padding id, which would be the one before."""
    network = ScoringNetwork(checkpoint(tmp_path, pad_token_id=2), "cpu").network
    ids = torch.tensor([[5, 7, 2]])
    ours = score_last(network, ids, torch.ones_like(ids)).item()
    assert ours != pytest.approx(network(input_ids=ids).logits.item(), abs=1e-4)
    assert ours == pytest.approx(network.score(network.model(ids).last_hidden_state)[0, -1, 0].item(), abs=1e-5)


def test_a_score_is_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    model = load_reward_model(str(checkpoint(tmp_path)), "cpu")
    texts = ["3 7 12 " * i + "answer 3" for i in (1, 15, 2, 3, 5, 1, 7, 8, 9, 10, 4) * 10]
    together = model.score([asked()] * len(texts), texts)
    alone = [model.score([asked()], [text])[0] for text in texts[:11]]
    assert together == pytest.approx(alone * 10, abs=1e-5)
    assert len({round(score, 5) for score in together}) > 5
    assert model.score([], []) == []


def test_of_what_is_too_long_the_end_is_read(tmp_path: Path) -> None:
    model = load_reward_model(str(checkpoint(tmp_path, window=16)), "cpu")
    long = "7 " * 60
    one, other = model.score([asked()] * 2, [long + "answer 3", long + "answer 4"])
    assert one != other
    assert one == pytest.approx(model.score([asked("sort 9 9")], [long + "answer 3"])[0])


@pytest.mark.parametrize(("changes", "told"), [({"kind": LlamaForCausalLM}, "lack score.weight"),
                                               ({"num_labels": 3}, "3 outputs")])
def test_what_was_not_made_to_score_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_reward_model(str(checkpoint(tmp_path, **changes)), "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "config", "calibration", "weights"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    folder = checkpoint(tmp_path / "one")
    write_calibration(folder, CALIBRATION)
    assert load_reward_model(str(folder), "cpu").probability(0.0) == pytest.approx(0.3775, abs=1e-3)
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "calibration":
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"temperature": 2.0', '"temperature": -2.0'))
    else:
        other = checkpoint(tmp_path / "other", seed=1)
        (other / "model.safetensors").replace(weights)
    with pytest.raises(ModelError):
        load_reward_model(str(folder), "cpu")


def test_a_calibration_comes_back_and_leaves_the_scores_alone(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    before = load_reward_model(str(folder), "cpu")
    with pytest.raises(ConfigError, match="not calibrated"):
        before.probability(1.0)
    write_calibration(folder, CALIBRATION)
    after = load_reward_model(str(folder), "cpu")
    assert after.score([asked()], ["answer 3"]) == before.score([asked()], ["answer 3"])
    found = read_calibration(folder)
    assert found is not None and found.model_copy(update={"weights": ""}) == CALIBRATION


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    model = load_reward_model(str(checkpoint(tmp_path)), "cpu")
    model._network.network.score.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="no number"):
        model.score([asked()], ["answer 3"])


def test_a_template_that_refuses_the_conversation_is_told(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    (folder / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ messages[-1]['content'] }}")
    model = load_reward_model(str(folder), "cpu")
    with pytest.raises(DataError, match="no system"):
        model.score([(Message(role=Role.SYSTEM, content="x"), *asked())], ["answer 3"])
