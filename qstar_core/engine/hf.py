"""Checkpoints through transformers: loading, the fit of two models, and one forward at a time into a SlotCache.

Safetensors only, never remote code. Nothing here knows whether a checkpoint is tiny or huge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from qstar_core.config import EngineSettings
from qstar_core.engine.cache import SlotCache, Window
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import Message, ModelRef

disable_progress_bar()  # the command line has one of its own

_DEFAULT_CONTEXT = 2048
_COMPLETE = "give a complete checkpoint: config.json, tokenizer and safetensors weights"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def download_checkpoint(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """A hub checkpoint's files in the local hub cache; needs the network only where they are not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"cannot fetch {name} from the hub: {_first_line(error)}",
                         "check the id, the revision and the network, or give a local folder") from None


class ChatTokenizer:
    """A checkpoint's tokenizer and chat template."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"no usable tokenizer in {path}: {_first_line(error)}", _COMPLETE) from None
        if not self._tokenizer.chat_template:
            raise ModelError(f"{name} has no chat template", "use an instruction-tuned checkpoint")
        self.control_tokens = frozenset(self._tokenizer.all_special_tokens) | {
            token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special
        }

    def render(self, messages: tuple[Message, ...]) -> tuple[str, tuple[int, ...]]:
        """The text that opens the assistant's turn, and its token ids."""
        turns = [message.model_dump(mode="json") for message in messages]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return text, tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: list[int] | tuple[int, ...]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def pieces(self, ids: list[int] | tuple[int, ...]) -> tuple[str, ...]:
        """What every token adds to the text, control tokens included; joined they are the whole text. A character of
        several tokens comes with its last one."""
        pieces: list[str] = []
        shown = ""
        for end in range(1, len(ids) + 1):
            text = str(self._tokenizer.decode(list(ids[:end])))
            whole = text if end == len(ids) else text.rstrip("\ufffd")
            pieces.append(whole[len(shown):])
            shown = whole if len(whole) > len(shown) else shown
        return tuple(pieces)

    @property
    def vocabulary(self) -> dict[str, int]:
        found: dict[str, int] = self._tokenizer.get_vocab()
        return found

    @property
    def control_ids(self) -> frozenset[int]:
        vocabulary = self.vocabulary
        return frozenset(vocabulary[token] for token in self.control_tokens if token in vocabulary)

    @property
    def unknown_id(self) -> int | None:
        found: int | None = self._tokenizer.unk_token_id
        return found


def context_limit(path: Path) -> int:
    """How many tokens a checkpoint was made for."""
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no usable config.json in {path}: {_first_line(error)}", _COMPLETE) from None
    return int(getattr(config, "max_position_embeddings", _DEFAULT_CONTEXT))


def shared_context(settings: EngineSettings, student: Path, teacher: Path) -> int:
    limit = min(context_limit(student), context_limit(teacher))
    if settings.context is None:
        return min(limit, _DEFAULT_CONTEXT)
    if settings.context > limit:
        raise ModelError(f"engine.context = {settings.context} is more than the models' {limit} tokens", "lower it")
    return settings.context


def check_same_vocabulary(student: ChatTokenizer, teacher: ChatTokenizer) -> None:
    """Distributions are mixed token by token, so every id must mean the same for both."""
    ours, theirs = student.vocabulary, teacher.vocabulary
    if ours == theirs:
        return
    odd = next(token for token in sorted(ours.keys() | theirs.keys()) if ours.get(token) != theirs.get(token))
    raise ModelError(
        f"{student.name} and {teacher.name} do not share a vocabulary: "
        f"{odd!r} is id {ours.get(odd)} for one and {theirs.get(odd)} for the other",
        "q* mixes token by token; take student and teacher of one tokenizer family",
    )


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


def shared_columns(tokenizer: ChatTokenizer, *models: LoadedModel) -> int:
    """The ids that mean something: padded columns beyond the tokenizer are cut off both models."""
    needed = max(tokenizer.vocabulary.values()) + 1
    for model in models:
        if model.columns < needed:
            raise ModelError(f"{model.name} has {model.columns} logits, its tokenizer {needed} ids",
                             "give the tokenizer that belongs to the checkpoint")
    return needed


def load_model(ref: ModelRef, settings: EngineSettings) -> LoadedModel:
    device = resolve_device(settings.device)
    path = Path(ref.path)
    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=_dtype(settings.dtype, device), use_safetensors=True, trust_remote_code=False,
            attn_implementation="sdpa", output_loading_info=True,
        )
        network.to(device).eval().requires_grad_(False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load {ref.name} from {path}: {_first_line(error)}",
                         _COMPLETE) from None
    if report["missing_keys"]:  # transformers fills them with noise
        raise ModelError(f"the weights in {path} lack {sorted(report['missing_keys'])[0]}", _COMPLETE)
    return LoadedModel(ref.name, network, device, _eos_ids(path, network))


class ModelRunner:
    """One role: a model, its slots, and forwards whose shapes do not depend on who shares the batch."""

    def __init__(self, model: LoadedModel, slots: int, context: int, vocab: int, fixed_length: bool) -> None:
        self._network = model.network
        self._device = model.device
        self._vocab = vocab
        self._fixed_length = fixed_length
        self._context = context
        self._cache = SlotCache(model.network.config.get_text_config().num_hidden_layers, slots, context)

    def prefill(self, slot: int, ids: tuple[int, ...]) -> Tensor:
        """Read a prompt alone, at its exact length; the logits that follow it, [V]."""
        length = len(ids)
        columns = torch.arange(length, device=self._device)[None]
        visible = columns[0][None, :] <= columns[0][:, None]
        self._cache.window = Window(torch.tensor([slot], device=self._device), columns, length)
        logits = self._forward(torch.tensor([ids], device=self._device), columns, visible[None, None])[0]
        self._cache.forget_after(slot, length)
        return logits

    def copy_prompt(self, source: int, target: int, length: int) -> None:
        self._cache.copy_row(source, target, length)

    def decode(self, token_B: Tensor, position_B: Tensor, occupied_B: Tensor) -> Tensor:
        """One token for every slot; the logits that follow, [B, V]. Unoccupied rows compute into the scratch column."""
        position_B = torch.where(occupied_B, position_B, 0)
        columns = torch.where(occupied_B, position_B, self._context)[:, None]
        length = self._context if self._fixed_length else int(position_B.max()) + 1
        visible = torch.arange(length, device=self._device)[None, :] <= position_B[:, None]
        self._cache.window = Window(None, columns, length)
        return self._forward(token_B[:, None], position_B[:, None], visible[:, None, None, :])

    @torch.no_grad()
    def _forward(self, ids_B_T: Tensor, position_B_T: Tensor, visible: Tensor) -> Tensor:
        logits: Tensor = self._network(
            input_ids=ids_B_T, attention_mask=visible, position_ids=position_B_T, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1,
        ).logits
        return logits[:, -1, : self._vocab].float()


def resolve_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"engine.device = {name!r} cannot be used: {_first_line(error)}", "use auto or cpu") from None
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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
