"""A vLLM engine for two models. One server is kept for the process: other samplings, other α, and students that differ
in their LoRA alone take it over as it runs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from qstar_core.config import EngineSettings, Settings
from qstar_core.engine.hf import eos_ids, read_config
from qstar_core.engine.tokenizer import ChatTokenizer, shared_columns
from qstar_core.engine.vllm.adapters import room_for
from qstar_core.engine.vllm.engine import VllmEngine
from qstar_core.engine.vllm.installed import check_installed
from qstar_core.engine.vllm.layout import rank_of, weights_of
from qstar_core.engine.vllm.process import OwnProcess, Running
from qstar_core.engine.vllm.server import Server
from qstar_core.errors import ConfigError
from qstar_core.records import ModelRef

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Speaker:
    name: str
    columns: int
    eos_ids: frozenset[int]


def load_engine(student: ModelRef, teacher: ModelRef, context: int, settings: Settings) -> VllmEngine:
    """Everything that can be refused is refused before a model is loaded; that happens when the first sample is asked
    for."""
    check_installed(settings.engine.vllm)
    if isinstance(settings.engine.speculation, int):
        raise ConfigError(f"engine.speculation = {settings.engine.speculation} cannot be with engine.kind = vllm",
                          "set engine.speculation=auto")
    tokenizer = ChatTokenizer(student.name, Path(student.path))
    speakers = [_speaker(model) for model in (student, teacher)]
    ends = speakers[0].eos_ids | speakers[1].eos_ids
    return VllmEngine(
        lambda model: _server(model, teacher, context, settings.engine), student, tokenizer,
        shared_columns(tokenizer, *speakers), ends, context, settings.alpha, settings.sampling, settings.support,
        settings.engine)


def _speaker(model: ModelRef) -> _Speaker:
    path = Path(model.path)
    config = read_config(path)
    return _Speaker(model.name, int(config.get_text_config().vocab_size), eos_ids(path, config))


_running: dict[str, Running] = {}
_DECISIVE = {"batch_size", "dtype", "device", "threads", "vllm"}
"""The settings that a server is made with; the others come with the mixture."""


def _server(student: ModelRef, teacher: ModelRef, context: int, settings: EngineSettings) -> Running:
    """The one that runs, if it serves these models with these settings; else it makes room for the new one."""
    weights = weights_of(student, teacher, settings.share_forward)
    rank = room_for(rank_of(student)) if weights.lora else 0
    key = f"{weights.model_dump_json()} {context} {rank} {settings.model_dump_json(include=_DECISIVE)}"
    server = _running.get(key)
    if server is None or server.closed:
        while _running:
            _running.popitem()[1].close()
        kind = OwnProcess if settings.vllm.own_process else Server
        server = _running[key] = kind(weights, context, settings, rank)
        _log.log(logging.INFO if server.memory.whole else logging.WARNING, "vLLM in GiB: %s", server.memory)
    return server
