"""A checkpoint as vLLM can load it: mostly its own folder; a copy where an adapter has to be merged into the weights,
or where vLLM cannot take the heads as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

from qstar_core.config import EngineSettings
from qstar_core.engine.hf import load_model
from qstar_core.engine.vllm.heads import head_size, too_narrow, widen, widen_adapter
from qstar_core.errors import ModelError
from qstar_core.records import ModelRef

_CARRIED = ("tokenizer*", "generation_config.json", "chat_template*", "special_tokens_map.json", "*.model")


def loadable(model: ModelRef, settings: EngineSettings, device: str, scratch: Path) -> Path:
    """`scratch` takes what has to be written; it is needed until the model is loaded. `device`: vLLM's kind of it."""
    path = Path(model.path)
    if model.adapter is not None:
        path = _merged(model, settings, scratch / f"{model.sha256[:16]}-merged")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if device == "cpu" and too_narrow(config):
        wide = scratch / f"{model.sha256[:16]}-wide"
        widen(path, wide)
        path = wide
    return path


def loadable_adapter(model: ModelRef, device: str, scratch: Path) -> str:
    """The folder of a LoRA that fits what `loadable` makes of its base. vLLM reads it when it is first used."""
    if model.adapter is None:
        raise ModelError(f"{model.name} is no adapter", "report this bug")
    config = json.loads((Path(model.path) / "config.json").read_text(encoding="utf-8"))
    if device == "cpu" and too_narrow(config):
        wide = scratch / f"{model.sha256[:16]}-adapter"
        widen_adapter(Path(model.adapter.path), wide, head_size(config))
        return str(wide)
    return model.adapter.path


def _merged(model: ModelRef, settings: EngineSettings, folder: Path) -> Path:
    """On the CPU: the device's memory is for vLLM."""
    network = load_model(model, settings.model_copy(update={"device": "cpu"})).network
    network.save_pretrained(str(folder))
    for pattern in _CARRIED:
        for file in Path(model.path).glob(pattern):
            (folder / file.name).write_bytes(file.read_bytes())
    return folder
