"""Checkpoints through transformers: fetching, their context, their end-of-turn ids, and loading them on a device.

Safetensors only, never remote code. Nothing here knows whether a checkpoint is tiny or huge. A checkpoint whose
configuration says that it is quantised is loaded as such by transformers, if the library for it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from qstar_core.config import EngineSettings
from qstar_core.engine.architecture import DEFAULT_CONTEXT, check_architecture, context_limit, quantisation
from qstar_core.engine.attention import FOLDED, register
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import ModelRef

disable_progress_bar()  # the command line has one of its own
register()

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


def read_config(path: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"no usable config.json in {path}: {first_line(error)}", COMPLETE) from None
    check_architecture(path, config)
    return config


def shared_context(settings: EngineSettings, student: Path, teacher: Path) -> int:
    limit = min(context_limit(read_config(path)) for path in (student, teacher))
    if settings.context is None:
        return min(limit, DEFAULT_CONTEXT)
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
    """The model with weights of its own; an adapter is merged into them."""
    device = resolve_device(settings.device)
    path = Path(ref.path)
    config = read_config(path)
    scheme = quantisation(config)
    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=_dtype(settings.dtype, device), use_safetensors=True, trust_remote_code=False,
            attn_implementation=FOLDED, output_loading_info=True, device_map={"": device} if scheme else None,
        )
        if scheme is None:  # quantised weights are made on their device and do not move
            network.to(device)
        network.eval().requires_grad_(False)
        network.get_output_embeddings().register_forward_pre_hook(_dense)
    except ImportError as error:
        raise ModelError(f"{path} has {scheme} weights, which cannot be read here: {first_line(error)}",
                         "install the library that it names, or give an unquantised checkpoint") from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load {ref.name} from {path}: {first_line(error)}", COMPLETE) from None
    if report["missing_keys"]:  # transformers fills them with noise
        raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}", COMPLETE)
    if ref.adapter is not None:
        if scheme is not None:
            raise ModelError(f"the adapter {ref.name} cannot be merged into {scheme} weights",
                             "give an unquantised base, or take the base itself as the teacher")
        from qstar_core.engine.adapter import merged

        network = merged(network, Path(ref.adapter.path))
    return LoadedModel(ref.name, network, device, eos_ids(path, network.config))


def _dense(head: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The last position of a longer prompt is a slice with gaps, for which PyTorch would copy the whole matrix of the
    head: two thirds of a prefill's time."""
    return tuple(hidden.clone(memory_format=torch.contiguous_format) for hidden in inputs)


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


def eos_ids(path: Path, config: Any) -> frozenset[int]:
    """All ids that end a turn: the generation settings' and the configuration's."""
    try:
        named = [GenerationConfig.from_pretrained(str(path)).eos_token_id]
    except OSError:
        named = []
    named.append(config.get_text_config().eos_token_id)
    ids: set[int] = set()
    for entry in named:
        ids.update([] if entry is None else [entry] if isinstance(entry, int) else entry)
    if not ids:
        raise ModelError(f"{path} names no end-of-turn token", "set eos_token_id in its generation_config.json")
    return frozenset(ids)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
