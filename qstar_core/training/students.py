"""The model that is trained, as transformers and PEFT hold it, and the folder that it becomes.

Safetensors only, never remote code. A student that is an adapter goes on as the same adapter, or, where all weights are
trained, is merged first.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from qstar_core.checkpoints import ADAPTER, decisive_files
from qstar_core.engine.hf import COMPLETE, first_line, read_config
from qstar_core.errors import ConfigError, ModelError
from qstar_core.recipes import PeftSettings
from qstar_core.records import ModelRef
from qstar_core.training.hardware import Hardware

_LORA_KIN = ("lora", "qlora", "dora")


@dataclass(frozen=True, slots=True)
class Student:
    """`peft` is the adapter still to be put on; None where there is none, or where the model has it already."""

    ref: ModelRef
    model: Any
    tokenizer: Any
    peft: Any | None


def load_student(ref: ModelRef, settings: PeftSettings, hardware: Hardware, seed: int) -> Student:
    from peft import PeftModel
    from transformers import AutoTokenizer, set_seed

    set_seed(seed)
    adapting = settings.kind != "none"
    model = load_network(ref.name, Path(ref.path), hardware.dtype if adapting else torch.float32,
                         quantised=settings.kind == "qlora")
    tokenizer = AutoTokenizer.from_pretrained(ref.path, trust_remote_code=False)
    if tokenizer.chat_template is None:
        raise ModelError(f"{ref.name} has no chat template", "use an instruction-tuned checkpoint")
    if ref.adapter is None:
        return Student(ref, model, tokenizer, peft_config(settings) if adapting else None)
    from qstar_core.engine.adapter import adapter_config, merged

    found = adapter_config(Path(ref.adapter.path))
    if not adapting:
        return Student(ref, merged(model, Path(ref.adapter.path)).train().requires_grad_(True), tokenizer, None)
    if found.peft_type != peft_config(settings).peft_type:
        raise ConfigError(f"the student is an adapter of kind {found.peft_type}, and training.peft.kind is "
                          f"{settings.kind}", "name the same kind, or none to train all weights")
    return Student(ref, PeftModel.from_pretrained(model, ref.adapter.path, is_trainable=True), tokenizer, None)


def load_network(name: str, path: Path, dtype: torch.dtype, *, quantised: bool = False) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    read_config(path)
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                              bnb_4bit_compute_dtype=dtype) if quantised else None
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            quantization_config=bits)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"cannot load {name} from {path}: {first_line(error)}", COMPLETE) from None
    if report["missing_keys"]:  # transformers fills them with noise
        raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}", COMPLETE)
    return model


def peft_config(settings: PeftSettings) -> Any:
    """The configuration of the kind, from PEFT's own registry."""
    from peft import LoraConfig, PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    values: dict[str, Any] = {"task_type": "CAUSAL_LM", **settings.options}
    if settings.modules:
        values["target_modules"] = list(settings.modules)
    if settings.kind in _LORA_KIN:
        values = {"r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.dropout,
                  "target_modules": "all-linear", "use_dora": settings.kind == "dora", **values}
        kind = LoraConfig
    else:
        known = {found.value.lower(): config for found, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        if settings.kind.lower() not in known:
            raise ConfigError(f"training.peft.kind {settings.kind!r:.60} is unknown",
                              f"use none, lora, qlora, dora, or one of: {', '.join(sorted(known))}")
        kind = known[settings.kind.lower()]
    try:
        config = kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.peft: {PeftType(kind().peft_type).value} refuses its options: {first_line(error)}",
                          "look at the fields of its PEFT configuration") from None
    if config.is_prompt_learning:
        raise ConfigError(f"training.peft.kind {settings.kind!r} learns a prompt, which cannot be merged or sampled "
                          "with", "use lora or another kind that changes weights")
    return config


def save_student(trainer: Any, student: Student, folder: Path) -> None:
    """The weights, in the precision that the student had, with the student's own tokenizer and generation settings."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    original = read_config(Path(student.ref.path))
    adapter = hasattr(model, "peft_config")
    if not adapter:
        model.config.use_cache = getattr(original, "use_cache", True)
        model.to(original.dtype or torch.float32)
        model.config.dtype = original.dtype or torch.float32
    shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder))
    if not trainer.args.should_save:
        return
    source = Path(student.ref.path)
    for file in decisive_files(source):
        if not file.name.endswith((".safetensors", ".safetensors.index.json")) and file.name != "config.json":
            shutil.copyfile(file, folder / file.name)
    (folder / "training_args.bin").unlink(missing_ok=True)
    if adapter:
        _name_base(folder, student.ref)


def _name_base(folder: Path, ref: ModelRef) -> None:
    """The base as the settings named it, so that it is found on other machines too."""
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    base = ref.adapter.base if ref.adapter else ref.name
    config["base_model_name_or_path"] = str(Path(base).absolute()) if Path(base).is_dir() else base
    config["revision"] = ref.revision
    (folder / ADAPTER).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
