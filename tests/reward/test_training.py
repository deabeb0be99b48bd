"""A short real training by TRL: the loss falls on a fixed batch, what was saved scores the same, and what cannot be
trained on is refused with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from qstar_core.config import Settings
from qstar_core.engine.scoring import ConversationTokenizer
from qstar_core.errors import DataError, ModelError, TrainingError
from qstar_core.models import resolve
from qstar_core.recipes import RewardSettings
from qstar_core.records import ModelRef
from qstar_core.reward.calibration import Calibration, write_calibration
from qstar_core.reward.corruptions import corrupted_pairs
from qstar_core.reward.finding import find_reward_model
from qstar_core.reward.function import ModelReward
from qstar_core.reward.model import RewardModel, load_reward_model
from qstar_core.reward.pairs import PairSet, PreferencePair
from qstar_core.store.directory import DirectoryStore
from qstar_core.training import reward as training
from qstar_core.training.reward import TrainedReward, train_reward_model
from qstar_core.training.reward_run import make_reward_model
from qstar_core.training.reward_start import IGNORED, replaced_rows
from qstar_core.training.watching import Progress
from tests.reward.models import asked, checkpoint, pair

PAIRS = PairSet(tuple(corrupted_pairs(0, 120)), {})
SETTINGS: dict[str, Any] = {"learning_rate": 5e-3, "max_steps": 12, "micro_batch": 8, "batch_size": 16,
                            "max_length": 64, "validation": 0.3, "device": "cpu"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return resolve(str(checkpoint(tmp_path_factory.mktemp("base"), kind=LlamaForCausalLM)), None)


def trained(base: ModelRef, work: Path, pairs: PairSet = PAIRS, heard: Callable[[Progress], None] = lambda _: None,
            **changes: Any) -> TrainedReward:
    return train_reward_model(RewardSettings(**(SETTINGS | changes)), base, pairs, work, heard)


def loss(model: RewardModel, pairs: tuple[PreferencePair, ...]) -> float:
    prompts = [one.prompt for one in pairs]
    scores = torch.tensor(model.score([*prompts, *prompts], [one.chosen for one in pairs]
                                      + [one.rejected for one in pairs])).chunk(2)
    return float(-torch.nn.functional.logsigmoid(scores[0] - scores[1]).mean())


@pytest.fixture(scope="module")
def made(base: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> TrainedReward:
    return trained(base, tmp_path_factory.mktemp("work"), max_steps=40)


def test_the_loss_falls_on_a_fixed_batch(base: ModelRef, made: TrainedReward, tmp_path: Path) -> None:
    fixed = PAIRS.pairs[:48]
    before = trained(base, tmp_path, max_steps=1, learning_rate=1e-9)
    assert loss(load_reward_model(str(made.folder), "cpu"), fixed) < 0.9 * loss(
        load_reward_model(str(before.folder), "cpu"), fixed)


def test_what_was_saved_scores_the_same_again_and_is_calibrated(made: TrainedReward) -> None:
    """The report was made from the model as it was saved, before it got its calibration."""
    first, second = (load_reward_model(str(made.folder), "cpu") for _ in range(2))
    texts = ["answer 3", "answer 7", "a) 1 + 2 = 3 ; answer 3"]
    assert first.score([asked()] * 3, texts) == second.score([asked()] * 3, texts)
    assert first.calibration is not None
    assert first.calibration.model_copy(update={"weights": ""}) == made.judged.calibration
    assert made.judged.report.accuracy.pairs + made.trained_on == len(PAIRS.pairs)
    assert made.metrics["steps"] == 40 and made.metrics["steps_per_second"] > 0


def test_plain_transformers_reads_the_same_score_from_it(made: TrainedReward) -> None:
    from transformers import AutoModelForSequenceClassification

    network = AutoModelForSequenceClassification.from_pretrained(made.folder)
    ids, _ = ConversationTokenizer(made.folder).ids(asked(), "answer 3")
    pad = network.config.pad_token_id
    alone = load_reward_model(str(made.folder), "cpu").score([asked()], ["answer 3"])[0]
    for padded in ([*ids], [*ids, pad, pad]):
        mask = [1] * len(ids) + [0] * (len(padded) - len(ids))
        found = network(input_ids=torch.tensor([padded]), attention_mask=torch.tensor([mask]))
        assert found.logits.item() == pytest.approx(alone, abs=1e-4)


def test_a_tokenizer_whose_padding_is_its_end_mark_still_has_its_end_read(base: ModelRef, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base.path, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": config["eos_token"]}))
    done = trained(resolve(str(folder), None), tmp_path / "work", max_steps=2)
    eos = ConversationTokenizer(folder).tokenizer.eos_token_id
    assert json.loads((done.folder / "config.json").read_text())["pad_token_id"] != eos


def test_a_margin_pushes_scores_further_apart(base: ModelRef, tmp_path: Path) -> None:
    def spread(folder: Path) -> float:
        model = load_reward_model(str(folder), "cpu")
        prompts = [one.prompt for one in PAIRS.pairs]
        scores = torch.tensor(model.score([*prompts, *prompts], [one.chosen for one in PAIRS.pairs]
                                          + [one.rejected for one in PAIRS.pairs])).chunk(2)
        return float((scores[0] - scores[1]).mean())

    plain = spread(trained(base, tmp_path / "plain", max_steps=25).folder)
    assert spread(trained(base, tmp_path / "wide", max_steps=25, margin=4.0).folder) > plain + 0.1
    told = PairSet(tuple(one.model_copy(update={"margin": 4.0}) for one in PAIRS.pairs), {})
    assert spread(trained(base, tmp_path / "rows", told, max_steps=25, row_margins=True).folder) > plain + 0.1


def test_centring_holds_scores_around_zero(base: ModelRef, tmp_path: Path) -> None:
    def mean(folder: Path) -> float:
        model = load_reward_model(str(folder), "cpu")
        pairs = PAIRS.pairs[:60]
        return abs(sum(model.score([one.prompt for one in pairs], [one.chosen for one in pairs])
                       + model.score([one.prompt for one in pairs], [one.rejected for one in pairs]))) / 120

    free, held = (mean(trained(base, tmp_path / str(weight), centre=weight, max_steps=25).folder)
                  for weight in (0.0, 1.0))
    assert held < free


@pytest.mark.parametrize("changes", [{"peft": {"kind": "lora", "rank": 4}}, {"extra_layers": 1}, {"warm_start": 3},
                                     {"calibration": "isotonic"}, {"gradient_checkpointing": "on"}])
def test_every_way_to_train_gives_a_whole_checkpoint(base: ModelRef, tmp_path: Path, changes: dict[str, Any]) -> None:
    done = trained(base, tmp_path, max_steps=2, **changes)
    assert load_reward_model(str(done.folder), "cpu").score([asked()], ["answer 3"])
    layers = json.loads((done.folder / "config.json").read_text())["num_hidden_layers"]
    assert layers == 2 + changes.get("extra_layers", 0)


def test_layers_on_top_change_nothing_at_first(base: ModelRef) -> None:
    ids = torch.tensor([[5, 7, 9, 2]])
    plain, grown = (training._network(RewardSettings(extra_layers=count), Path(base.path)) for count in (0, 2))
    assert torch.allclose(plain.model(ids).last_hidden_state, grown.model(ids).last_hidden_state, atol=1e-6)


def test_a_warm_start_asks_a_token_for_itself(base: ModelRef) -> None:
    tokenizer = ConversationTokenizer(Path(base.path))
    rows = list(replaced_rows(RewardSettings(**SETTINGS, warm_start=4), tokenizer, PAIRS.pairs[:1]))
    ids, reply = tokenizer.ids(PAIRS.pairs[0].prompt, PAIRS.pairs[0].chosen)
    assert len(rows) == 4 * 16 and {len(row["input_ids"]) for row in rows} == {len(ids)}
    for row in rows:
        assert row["input_ids"][:-reply] == ids[:-reply], "the prompt stays"
        assert row["labels"] == [IGNORED] * (len(ids) - reply + 1) + ids[-reply:-1]
    assert any(row["input_ids"] != ids for row in rows)


class KilledError(Exception):
    pass


def test_a_killed_training_goes_on_and_ends_where_it_would_have(base: ModelRef, tmp_path: Path) -> None:
    whole = trained(base, tmp_path / "whole", save_every=4, tensorboard=False)

    def die(progress: Progress) -> None:
        if progress.step >= 10:
            raise KilledError

    with pytest.raises(KilledError):
        trained(base, tmp_path / "cut", heard=die, save_every=4)
    kept = [path.name for path in (tmp_path / "cut").glob("states-*/checkpoint-*")]
    assert kept and not (tmp_path / "cut" / "model").exists()
    again = trained(base, tmp_path / "cut", save_every=4)
    texts = [one.chosen for one in PAIRS.pairs[:8]]
    prompts = [one.prompt for one in PAIRS.pairs[:8]]
    assert load_reward_model(str(again.folder), "cpu").score(prompts, texts) == pytest.approx(
        load_reward_model(str(whole.folder), "cpu").score(prompts, texts), abs=1e-5)


def test_memory_that_runs_out_halves_what_is_in_memory(base: ModelRef, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, real = [], training._trainer

    def small(*given: Any) -> Any:
        sizes.append(given[5].micro)
        if given[5].micro > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(*given)

    monkeypatch.setattr(training, "_trainer", small)
    heard: list[Progress] = []
    done = trained(base, tmp_path, max_steps=2, heard=heard.append)
    assert sizes == [8, 4, 2] and done.metrics["steps"] == 2
    assert sum("memory ran out" in one.text for one in heard) == 2


def test_a_loss_that_is_no_number_ends_it(base: ModelRef, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"is nan|is inf"):
        trained(base, tmp_path, learning_rate=1.0, clip=1e30, weight_decay=1e30, max_steps=20)


@pytest.mark.parametrize(("pairs", "changes", "error", "told"), [
    ([pair(prompt=f"sort {i} 1", chosen="answer" + " 3" * 9) for i in range(20)], {"max_length": 8}, DataError,
     "longer than reward.max_length"),
    ([pair()], {}, DataError, "leaves"),
    ([pair(prompt=f"sort {i} 1") for i in range(12)], {}, DataError, "too few to judge"),
])
def test_what_cannot_be_trained_on_is_refused(base: ModelRef, tmp_path: Path, pairs: list[PreferencePair],
                                              changes: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        trained(base, tmp_path, PairSet(tuple(pairs), {}), **changes)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("wrong", [{"processes": 2}, {"patience": 1}, {"wandb": True}, {"peft": {"kind": "qlora"}},
                                   {"extra_layers": 1, "peft": {"kind": "lora"}}, {"validation": 0}])
def test_settings_that_mean_nothing_here_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RewardSettings(**wrong)


def test_a_base_that_is_no_decoder_or_lacks_weights_is_refused(base: ModelRef, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base.path, folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot load"):
        trained(base.model_copy(update={"path": str(folder)}), tmp_path / "work")


def test_a_calibration_of_the_base_does_not_outlive_it(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "base")
    write_calibration(folder, Calibration(temperature=7.0, slope=1, intercept=0, pairs=10))
    done = trained(resolve(str(folder), None), tmp_path / "work", max_steps=2)
    assert done.judged.calibration.temperature != 7.0
    assert load_reward_model(str(done.folder), "cpu").calibration is not None


def test_from_pairs_in_a_file_to_the_store_and_back(base: ModelRef, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({
        "prompt": [turn.model_dump(mode="json") for turn in one.prompt], "chosen": one.chosen, "rejected": one.rejected,
    }) + "\n" for one in PAIRS.pairs), encoding="utf-8")
    store = DirectoryStore(tmp_path / "store")
    settings = Settings(reward=RewardSettings(**SETTINGS | {"max_steps": 3}, pairs=str(rows), base=base.path))
    made = make_reward_model(settings, store, lambda _: None)
    assert made.checkpoint.recipe == "reward" and made.checkpoint.parents == (base.sha256,)
    full = f"store:reward/{made.checkpoint.id}"
    newest = find_reward_model(store, "store:reward")
    assert newest == find_reward_model(store, full) and newest.name == full
    model = load_reward_model(newest, "cpu")
    assert model.calibration is not None
    reward = ModelReward(model)
    turns = [{"role": "user", "content": "sort 7 3 12"}]
    texts = ["answer 3", "answer 7"]
    assert reward([turns, turns], texts, ["", ""]) == model.score([asked()] * 2, texts)
