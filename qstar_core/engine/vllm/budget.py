"""How much memory the caches get, and how many tokens a step reads, where the settings leave it open."""

from __future__ import annotations

import math
from pathlib import Path

from qstar_core.config import EngineSettings
from qstar_core.engine.hf import read_config
from qstar_core.engine.vllm.launch import BLOCK
from qstar_core.errors import ConfigError

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SPARE = 4  # blocks: one that vLLM keeps for itself, and some to round up with
_BUDGET = 8192
_GIB = 2**30


def block_bytes(model: Path, dtype: str) -> int:
    """Keys and values of a block in all layers."""
    config = read_config(model).get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(BLOCK * 2 * config.num_hidden_layers * heads * size * _BYTES[dtype])


def cache_blocks(rows: int, context: int, per_block: int, settings: EngineSettings) -> int:
    """Of the teacher: room for every row in the whole context, so that none is ever put off, or what the settings
    say."""
    least = math.ceil(context / BLOCK) + _SPARE
    if settings.vllm.kv_cache_gib is None:
        return rows * math.ceil(context / BLOCK) + _SPARE
    blocks = int(settings.vllm.kv_cache_gib * _GIB) // per_block
    if blocks < least:
        raise ConfigError(f"engine.vllm.kv_cache_gib = {settings.vllm.kv_cache_gib:g} holds {blocks * BLOCK} tokens, "
                          f"and one sample in a context of {context} takes {least * BLOCK}",
                          f"set at least {least * per_block / _GIB:.3g}, or lower engine.context")
    return blocks


def step_budget(rows: int, context: int, settings: EngineSettings) -> int:
    """Tokens of a step: both prompts of a sample and a token for every row; never less than a token for every row."""
    return max(settings.vllm.step_tokens or max(_BUDGET, 2 * context + rows), rows)


def resumable(budget: int, rows: int) -> int:
    """At least enough for all rows to begin again in one step, each from its last cached block: with less they would
    take turns, and none would stay."""
    return max(budget, rows * (BLOCK + 1))
