"""Quantised checkpoints: read by transformers where their library is installed, refused in one line where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from qstar_core.config import EngineSettings
from qstar_core.engine.adapted import AdaptedNetwork
from qstar_core.engine.hf import load_model
from qstar_core.engine.loading import load_alone, load_pair
from qstar_core.errors import ModelError
from qstar_core.models import resolve
from tests.engine.adapters import save_adapter
from tests.engine.models import network, save_tokenizer

CPU = EngineSettings(device="cpu")
SCHEMES = {"nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "int8": {"load_in_8bit": True}}


@pytest.fixture
def whole(tmp_path) -> Path:
    network(40, seed=5, hidden=64).save_pretrained(str(tmp_path / "whole"))
    return save_tokenizer(tmp_path / "whole", 40)


@pytest.fixture(params=SCHEMES)
def quantised(request, whole) -> Path:
    scheme = BitsAndBytesConfig(**SCHEMES[request.param])
    made = AutoModelForCausalLM.from_pretrained(whole, quantization_config=scheme, device_map={"": "cpu"})
    made.save_pretrained(str(whole.parent / request.param))
    return save_tokenizer(whole.parent / request.param, 40)


def test_a_quantised_checkpoint_is_near_the_whole_one(whole, quantised):
    ids = torch.arange(5, 33).view(4, 7)
    found, exact = (load_alone(resolve(str(folder), None), CPU).network for folder in (quantised, whole))
    assert found.model.layers[0].self_attn.q_proj.weight.dtype in (torch.uint8, torch.int8)
    apart = (found(input_ids=ids).logits.softmax(-1) - exact(input_ids=ids).logits.softmax(-1)).abs().sum(-1) / 2
    assert 0 < apart.mean() < 0.3


def test_an_adapter_acts_beside_quantised_weights_and_is_not_merged_into_them(whole, quantised):
    folder = save_adapter(whole.parent / "adapter", network(40, seed=5, hidden=64), base=str(quantised))
    base, adapter, other = (resolve(str(path), None) for path in (quantised, folder, whole))
    student, teacher = load_pair(adapter, base, CPU)
    assert isinstance(student.network, AdaptedNetwork)
    assert student.network.base is teacher.network
    with pytest.raises(ModelError, match="cannot be merged into bitsandbytes weights"):
        load_pair(adapter, other, CPU)


@pytest.mark.parametrize(("scheme", "reason"), [
    ({"quant_method": "hqq"}, "has hqq weights, which cannot be read here: .*HQQ"),
    ({"quant_method": "tomorrow"}, "weights of an unknown kind, tomorrow"),
    ({"bits": 4}, "weights of an unknown kind, None"),
    ("x", "no usable config.json"),
])
def test_what_no_library_here_reads_is_refused(whole, scheme, reason):
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({**config, "quantization_config": scheme}))
    with pytest.raises(ModelError, match=reason) as error:
        load_model(resolve(str(whole), None), CPU)
    assert error.value.fix
    assert "\n" not in str(error.value)
