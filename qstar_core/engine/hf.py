"""Checkpoints through transformers: fetching, their context, their end-of-turn ids, and loading them on a device.

Safetensors only, never remote code. Nothing here knows whether a checkpoint is tiny or huge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from qstar_core.config import EngineSettings
from qstar_core.engine.attention import FOLDED, register
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import ModelRef

disable_progress_bar()  # the command line has one of its own
register()

_DEFAULT_CONTEXT = 2048
_ATTENTION = frozenset({"full_attention", "sliding_attention"})
COMPLETE = "give a complete checkpoint: config.json, tokenizer and safetensors weights"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def download_checkpoint(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """A hub checkpoint's files in the local hub cache; needs the network only where they are not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"cannot fetch {name} from the hub: {first_line(error)}",
                         "check the id, the revision and the network, or give a local folder") from None


def context_limit(path: Path) -> int:
    """How many tokens a checkpoint was made for; not more than its attention window, which slots do not slide."""
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no usable config.json in {path}: {first_line(error)}", COMPLETE) from None
    kinds = set(getattr(config, "layer_types", None) or ())
    if odd := sorted(kinds - _ATTENTION):
        raise ModelError(f"{path} has layers of kind {odd[0]}", "use a model whose layers all attend to their keys")
    if getattr(config, "attn_logit_softcapping", None):
        raise ModelError(f"{path} caps its attention logits, which this engine would ignore", "use another model")
    limit = int(getattr(config, "max_position_embeddings", _DEFAULT_CONTEXT))
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in kinds or (not kinds and getattr(config, "use_sliding_window", True))
    return min(limit, int(window)) if window and slides else limit


def shared_context(settings: EngineSettings, student: Path, teacher: Path) -> int:
    limit = min(context_limit(student), context_limit(teacher))
    if settings.context is None:
        return min(limit, _DEFAULT_CONTEXT)
    if settings.context > limit:
        raise ModelError(f"engine.context = {settings.context} is more than the models' {limit} tokens", "lower it")
    return settings.context


@dataclass(frozen=True, slots=True)
class LoadedModel:
    name: str
    network: Any
    device: torch.device
    eos_ids: frozenset[int]

    @property
    def columns(self) -> int:
        """The width of the logits, padding included."""
        return int(self.network.config.get_text_config().vocab_size)


def load_model(ref: ModelRef, settings: EngineSettings) -> LoadedModel:
    device = resolve_device(settings.device)
    path = Path(ref.path)
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
        network, report = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=_dtype(settings.dtype, device), use_safetensors=True, trust_remote_code=False,
            attn_implementation=_attention(config), output_loading_info=True,
        )
        network.to(device).eval().requires_grad_(False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load {ref.name} from {path}: {first_line(error)}",
                         COMPLETE) from None
    if report["missing_keys"]:  # transformers fills them with noise
        raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}", COMPLETE)
    return LoadedModel(ref.name, network, device, _eos_ids(path, network))


def _attention(config: Any) -> str:
    """Folding pays where several query heads share a key head."""
    text = config.get_text_config()
    groups = getattr(text, "num_key_value_heads", None)
    return FOLDED if groups is not None and groups < text.num_attention_heads else "sdpa"


def resolve_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"engine.device = {name!r} cannot be used: {first_line(error)}", "use auto or cpu") from None
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return _DTYPES[name]


def _eos_ids(path: Path, network: Any) -> frozenset[int]:
    """All ids that end a turn: the generation settings' and the configuration's."""
    try:
        named = [GenerationConfig.from_pretrained(str(path)).eos_token_id]
    except OSError:
        named = []
    named.append(network.config.get_text_config().eos_token_id)
    ids: set[int] = set()
    for entry in named:
        ids.update([] if entry is None else [entry] if isinstance(entry, int) else entry)
    if not ids:
        raise ModelError(f"{path} names no end-of-turn token", "set eos_token_id in its generation_config.json")
    return frozenset(ids)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
