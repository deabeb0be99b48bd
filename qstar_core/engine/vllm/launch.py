"""Starting vLLM engines, with what every one of them has in common here."""

from __future__ import annotations

from typing import Any

from qstar_core.errors import EngineError
from qstar_core.records import JsonObject

BLOCK = 32  # tokens of a block of the cache: vLLM's own 128 on CPU seldom finds a short prompt again
_UTILISATION = 0.05  # only looked at for the memory that must be free at the start; the caches have sizes of their own


def arguments(model: str, *, dtype: str, context: int, rows: int, budget: int, kv_bytes: int, eager: bool,
              lora_rank: int | None, loras: int, processor: str, host: JsonObject) -> JsonObject:
    """Of `vllm.EngineArgs`, as plain data. `lora_rank` None is without LoRA; `processor` is module:class. Prefixes are
    cached always: the draws of a prompt share it, and rows begin again where they were."""
    return {
        "model": model, "skip_tokenizer_init": True, "generation_config": "vllm", "load_format": "safetensors",
        "dtype": dtype, "seed": 0, "max_model_len": context, "max_num_seqs": rows, "max_num_batched_tokens": budget,
        "block_size": BLOCK, "kv_cache_memory_bytes": kv_bytes, "gpu_memory_utilization": _UTILISATION,
        "enable_prefix_caching": True, "enforce_eager": eager, "async_scheduling": False,
        "enable_lora": lora_rank is not None, "max_loras": loras, "max_lora_rank": lora_rank or 16,
        "logits_processors": [processor], "additional_config": host,
        "use_tqdm_on_load": False, "disable_log_stats": True,
    }


def start(args: JsonObject) -> Any:
    """A `vllm.LLMEngine` with its worker, all in this process: vLLM on CPU would choose a daemonic one, in which no
    second engine can start."""
    from vllm import EngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    config = EngineArgs(**args, distributed_executor_backend=UniProcExecutor).create_engine_config(
        UsageContext.LLM_CLASS)
    if getattr(config, "use_v2_model_runner", False):
        raise EngineError("vLLM chose its second model runner, which has no logits processors of the interface that q* "
                          "uses", "set VLLM_USE_V2_MODEL_RUNNER=0")
    return LLMEngine(config, UniProcExecutor, log_stats=False, usage_context=UsageContext.LLM_CLASS,
                     multiprocess_mode=False)
