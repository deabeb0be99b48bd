"""An adapter on its own rows is the merged model there and the base elsewhere; what does not fit is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig
from safetensors.torch import load_file, save_file

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.adapted import AdaptedNetwork
from qstar_core.engine.adapter import acts_on_rows, adapted_on_rows, adapter_config, merged
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.loading import load_pair
from qstar_core.engine.pair import OneModel, TwoModels, pair_runner
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ModelError
from qstar_core.models import resolve
from tests.engine.adapters import TARGETS, save_adapter
from tests.engine.architectures import random_network
from tests.engine.models import by_id, jobs, network, prompts, save_tokenizer

IDS = torch.arange(5, 33).view(4, 7)
PLAIN = {
    "plain": {},
    "scaled by rank": {"use_rslora": True},
    "ranks by layer": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "one layer": {"layers_to_transform": [1], "layers_pattern": "layers"},
}
OTHER = {
    "dora": LoraConfig(r=4, target_modules=TARGETS, use_dora=True),
    "a saved module": LoraConfig(r=4, target_modules=TARGETS, modules_to_save=["lm_head"]),
    "biases": LoraConfig(r=4, target_modules=TARGETS, bias="lora_only"),
    "ia3": IA3Config(target_modules=TARGETS, feedforward_modules=["down_proj"]),
}


def lora(**options: object) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": TARGETS, **options})


def logits(model, ids=IDS):
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_adapted_rows_are_the_merged_model_and_the_others_the_base(tmp_path, options):
    base = network(40, seed=5)
    folder = save_adapter(tmp_path, base, lora(**options))
    assert acts_on_rows(adapter_config(folder))
    tuned = adapted_on_rows(copy.deepcopy(base), folder)
    by_peft = PeftModel.from_pretrained(copy.deepcopy(base), str(folder)).eval()
    expected = logits(merged(copy.deepcopy(base), folder))
    torch.testing.assert_close(expected, logits(by_peft), atol=1e-4, rtol=1e-4)
    assert (expected - logits(base)).abs().max() > 0.1
    for rows in (0, 1, 3, None):
        tuned.adapted_rows = rows
        found = logits(tuned)
        count = len(IDS) if rows is None else rows
        torch.testing.assert_close(found[:count], expected[:count], atol=1e-4, rtol=1e-4)
        assert torch.equal(found[count:], logits(base)[count:])
    assert torch.equal(logits(tuned.base), logits(base)), "outside of the adapter's own calls the base is the base"


def test_a_weight_that_lies_transposed_is_adapted_too(tmp_path):
    """GPT-2 keeps its linear layers so."""
    base = random_network("gpt2, learned positions", "eager")
    folder = save_adapter(tmp_path, base, LoraConfig(r=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True))
    tuned = adapted_on_rows(copy.deepcopy(base), folder)
    expected = logits(merged(copy.deepcopy(base), folder))
    torch.testing.assert_close(logits(tuned), expected, atol=1e-4, rtol=1e-4)
    assert (expected - logits(base)).abs().max() > 0.01


@pytest.mark.parametrize("config", OTHER.values(), ids=OTHER)
def test_other_kinds_are_merged(tmp_path, config):
    base = network(40, seed=5)
    folder = save_adapter(tmp_path, base, config)
    assert not acts_on_rows(adapter_config(folder))
    by_peft = PeftModel.from_pretrained(copy.deepcopy(base), str(folder)).eval()
    torch.testing.assert_close(logits(merged(copy.deepcopy(base), folder)), logits(by_peft), atol=1e-4, rtol=1e-4)
    assert (logits(by_peft) - logits(base)).abs().max() > 0.01


def test_a_start_that_changes_the_base_is_merged(tmp_path):
    """PiSSA takes a part out of the base before it trains, so the base would not be the teacher any more."""
    folder = save_adapter(tmp_path, network(40, seed=5), lora(init_lora_weights="pissa"))
    given = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**given, "init_lora_weights": "pissa"}))
    assert not acts_on_rows(adapter_config(folder))


def test_embeddings_are_no_rows_of_a_linear_layer(tmp_path):
    base = network(40, seed=5)
    folder = save_adapter(tmp_path, base, lora(target_modules=["q_proj", "embed_tokens"]))
    left = copy.deepcopy(base)
    assert adapted_on_rows(left, folder) is None
    assert torch.equal(logits(left), logits(base))


@pytest.fixture
def home(tmp_path) -> Path:
    """A base with its tokenizer, and an adapter that names it."""
    base = tmp_path / "base"
    network(40, seed=5).save_pretrained(str(base))
    save_tokenizer(base, 40)
    save_adapter(tmp_path / "adapter", network(40, seed=5), base=str(base))
    return tmp_path


def pair(home: Path, student: str = "adapter", teacher: str = "base", **engine: object):
    refs = [resolve(str(home / name), None) for name in (student, teacher)]
    return load_pair(*refs, EngineSettings(device="cpu", **engine))


def sampled(home: Path, student: LoadedModel, teacher: LoadedModel, **engine: object):
    made = TransformersEngine(
        student, teacher, ChatTokenizer("base", home / "base"), 40, AlphaSettings(), SamplingSettings(max_tokens=12),
        SupportSettings(), EngineSettings(**{"batch_size": 3, "device": "cpu", **engine}))
    return by_id(made.generate(jobs(prompts(6, 40), draws=2)))


def apart(home: Path) -> tuple[LoadedModel, LoadedModel]:
    """The same two models from weights of their own."""
    student, teacher = pair(home, "merged"), pair(home, "base")
    return student[0], teacher[0]


@pytest.fixture
def two(home) -> tuple[LoadedModel, LoadedModel]:
    merged(network(40, seed=5), home / "adapter").save_pretrained(str(home / "merged"))
    save_tokenizer(home / "merged", 40)
    return apart(home)


@pytest.mark.parametrize("share_forward", [True, False])
def test_an_adapter_beside_the_teacher_draws_what_two_models_draw(home, two, share_forward):
    student, teacher = pair(home)
    assert isinstance(student.network, AdaptedNetwork)
    assert student.network.base is teacher.network, "the weights are loaded once"
    runner = pair_runner(student, teacher, 3, 40, 40, True, share_forward)
    assert type(runner) is (OneModel if share_forward else TwoModels)
    ours, theirs = sampled(home, student, teacher, share_forward=share_forward), sampled(home, *two)
    for name, one in ours.items():
        assert one.sample.token_ids == theirs[name].sample.token_ids
        for column in ("logp_theta", "logp_t", "logq", "alpha"):
            np.testing.assert_allclose(getattr(one.trace, column), getattr(theirs[name].trace, column), atol=2e-3)
    assert any(np.abs(one.trace.logp_theta - one.trace.logp_t).max() > 0.1 for one in ours.values())


def test_a_row_does_not_depend_on_its_neighbours(home):
    student, teacher = pair(home)
    together = sampled(home, student, teacher)
    for slots in (1, 5):
        for name, one in sampled(home, student, teacher, batch_size=slots).items():
            assert one.sample.token_ids == together[name].sample.token_ids


def test_an_adapter_of_zeros_is_its_base(home):
    save_adapter(home / "zero", network(40, seed=5), base=str(home / "base"), scale=0.0)
    zero, base = sampled(home, *pair(home, "zero")), sampled(home, *pair(home, "base"))
    for name, one in zero.items():
        assert one.sample.token_ids == base[name].sample.token_ids
        assert np.array_equal(one.trace.logp_theta, base[name].trace.logp_theta)


def test_on_another_base_than_the_teacher_it_has_weights_of_its_own(home, two):
    other = home / "other"
    network(40, seed=6).save_pretrained(str(other))
    save_tokenizer(other, 40)
    student, teacher = pair(home, teacher="other")
    assert not isinstance(student.network, AdaptedNetwork)
    assert torch.equal(logits(student.network), logits(two[0].network))
    assert torch.equal(logits(teacher.network), logits(network(40, seed=6)))


def test_the_hash_covers_the_adapter_and_its_base(home):
    def found() -> str:
        return resolve(str(home / "adapter"), None).sha256

    first = found()
    assert first == found() != resolve(str(home / "base"), None).sha256
    config = home / "adapter" / "adapter_config.json"
    given = config.read_text()
    config.write_text(json.dumps({**json.loads(given), "lora_alpha": 16}))
    assert found() != first
    config.write_text(given)
    for file in (home / "adapter" / "adapter_model.safetensors", home / "base" / "model.safetensors"):
        before = file.read_bytes()
        tensors = load_file(file)
        save_file({name: tensor + 1 for name, tensor in tensors.items()}, file, metadata={"format": "pt"})
        assert found() != first, file
        file.write_bytes(before)
    assert found() == first


def refused(match: str, call, *arguments: object, **options: object) -> None:
    with pytest.raises(ModelError, match=match) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    assert error.value.fix


def test_a_student_s_base_can_be_told(home):
    save_adapter(home / "lost", network(40, seed=5), base="/not/here")
    refused("the base of the adapter", resolve, str(home / "lost"), None)
    told = resolve(str(home / "lost"), None, base=str(home / "base"))
    assert told.path == str(home / "base")
    save_adapter(home / "nameless", network(40, seed=5), base=None)
    refused("does not name its base", resolve, str(home / "nameless"), None)
    refused("is an adapter too", resolve, str(home / "lost"), None, base=str(home / "adapter"))
    refused("full checkpoint, not an adapter", resolve, str(home / "base"), None, base=str(home / "base"))


def test_another_base_s_adapter_is_refused(home):
    save_adapter(home / "wide", network(40, seed=5, hidden=64), base=str(home / "base"))
    refused("does not fit its base: .*size mismatch", pair, home, "wide")
    save_adapter(home / "gpt2", random_network("gpt2, learned positions", "eager"), LoraConfig(target_modules=["c_fc"]),
                 base=str(home / "base"))
    refused("does not fit its base", pair, home, "gpt2")


@pytest.mark.parametrize("teacher", ["base", "other"])
def test_an_adapter_that_lacks_a_tensor_or_has_one_too_many_is_refused(home, teacher):
    network(40, seed=6).save_pretrained(str(home / "other"))
    save_tokenizer(home / "other", 40)
    file = home / "adapter" / "adapter_model.safetensors"
    whole = load_file(file)
    name = next(iter(whole))
    save_file({key: tensor for key, tensor in whole.items() if key != name}, file)
    refused("no counterpart", pair, home, teacher=teacher)
    save_file({**whole, name.replace("layers.0", "layers.7"): whole[name].clone()}, file)
    refused("no counterpart", pair, home, teacher=teacher)
    file.write_bytes(file.read_bytes()[:200])
    refused("does not fit its base", pair, home, teacher=teacher)


def test_what_cannot_be_read_whole_is_refused(home):
    folder = home / "adapter"
    given = json.loads((folder / "adapter_config.json").read_text())

    def with_config(**changes: object):
        (folder / "adapter_config.json").write_text(json.dumps({**given, **changes}))
        return str(folder), None

    refused("does not know", resolve, *with_config(a_thing_of_tomorrow=1))
    refused("no usable adapter_config.json", resolve, *with_config(peft_type="TOMORROW"))
    refused("cannot be merged", resolve, *with_config(megatron_config={"a": 1}))
    (folder / "adapter_config.json").write_text("[]")
    refused("no usable adapter_config.json", resolve, str(folder), None)
    save_adapter(home / "prompt", network(40, seed=5), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
                 base=str(home / "base"))
    refused("cannot be merged", resolve, str(home / "prompt"), None)


def test_a_pickled_adapter_is_refused(home):
    (home / "adapter" / "adapter_model.safetensors").rename(home / "adapter" / "adapter_model.bin")
    refused("pickles are refused", resolve, str(home / "adapter"), None)
