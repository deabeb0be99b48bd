"""Adapters: they train alone, name a base that others find, and go on as themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_core.checkpoints import fetch_checkpoint
from qstar_core.config import EngineSettings
from qstar_core.engine.hf import load_model
from qstar_core.errors import ConfigError
from qstar_core.models import resolve
from qstar_core.recipes import PeftSettings
from qstar_core.store.objects import ObjectStore
from qstar_core.training.students import peft_config
from tests.training.runs import completions, pairs, request_of, trained


@pytest.mark.parametrize(("recipe", "make"), [("sft", completions), ("dpo", pairs)])
def test_a_lora_trains_alone_and_is_a_student_that_engines_load(recipe: str, make: Any, store: ObjectStore,
                                                                tmp_path: Path) -> None:
    request = request_of(recipe, make(tmp_path / "rows"), peft={"kind": "lora", "rank": 4, "dropout": 0.0})
    made, told = trained(store, request)
    assert told.curve()[-1] < told.curve()[0]
    folder = fetch_checkpoint(store, made)
    assert not (folder / "model.safetensors").exists() and (folder / "adapter_model.safetensors").exists()
    ref = resolve(str(folder), None)
    assert ref.adapter is not None and ref.adapter.base == "builtin:tiny-student"
    base = resolve("builtin:tiny-student", None)
    assert ref.adapter.base_sha256 == base.sha256
    adapted, plain = (load_model(one, EngineSettings(device="cpu")).network for one in (ref, base))
    assert any(not torch.equal(one, other) for one, other in zip(adapted.parameters(), plain.parameters(), strict=True))


def test_an_adapter_goes_on_as_itself_or_is_merged(store: ObjectStore, tmp_path: Path) -> None:
    rows = completions(tmp_path / "rows")
    lora = {"kind": "lora", "rank": 4, "dropout": 0.0}
    first, told = trained(store, request_of("sft", rows, peft=lora))
    student = str(fetch_checkpoint(store, first))
    second, again = trained(store, request_of("sft", rows, student=student, peft=lora))
    assert again.curve()[0] < told.curve()[-1] + 1e-3, "it begins where the first ended"
    assert resolve(str(fetch_checkpoint(store, second)), None).adapter is not None
    assert second.parents == (resolve(student, None).sha256,)
    whole, merged = trained(store, request_of("sft", rows, student=student))
    assert merged.curve()[0] == pytest.approx(again.curve()[0], abs=1e-4)
    assert resolve(str(fetch_checkpoint(store, whole)), None).adapter is None
    with pytest.raises(ConfigError, match=r"the student is an adapter of kind .*LORA, and training\.peft\.kind is ia3"):
        trained(store, request_of("sft", rows, student=student, peft={"kind": "ia3"}))


def test_other_kinds_go_by_their_name(store: ObjectStore, tmp_path: Path) -> None:
    chosen = {"kind": "ia3", "modules": ["k_proj", "v_proj", "down_proj"],
              "options": {"feedforward_modules": ["down_proj"]}}
    made, told = trained(store, request_of("sft", completions(tmp_path / "rows"), peft=chosen, learning_rate=1e-2))
    assert told.curve()[-1] < told.curve()[0]
    resolve(str(fetch_checkpoint(store, made)), None)


@pytest.mark.parametrize(("chosen", "match"), [
    ({"kind": "magic"}, "peft.kind 'magic' is unknown — use none, lora, qlora, dora, or one of: .*ia3"),
    ({"kind": "prompt_tuning", "options": {"num_virtual_tokens": 4}}, "learns a prompt"),
    ({"kind": "lora", "options": {"rnak": 3}}, "refuses its options"),
])
def test_kinds_that_cannot_be_are_refused(chosen: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        peft_config(PeftSettings.model_validate(chosen))


@pytest.mark.parametrize(("chosen", "match"), [
    ({"peft": {"kind": "qlora"}}, "peft.kind is qlora, and training runs on cpu — 4-bit weights need a CUDA device"),
    ({"precision": "bfloat16"}, "precision is bfloat16, and training runs on CPU"),
    ({"device": "cuda"}, "device is cuda, which is not here"),
])
def test_what_the_device_cannot_do_is_refused_before_anything_loads(chosen: dict[str, Any], match: str,
                                                                    store: ObjectStore) -> None:
    if chosen.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match=match):
        trained(store, request_of("sft", "nowhere", **chosen))
