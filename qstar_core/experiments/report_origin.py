"""What a page was made with: the machine, the versions of what decides its numbers, and the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from qstar_core.experiments.report import Origin

_PACKAGES = ("qstar", "torch", "transformers", "trl", "numpy", "scipy")
_HERE = Path(__file__).parents[1]


def origin_of(title: str, command: str, profile: str) -> Origin:
    return Origin(title=title, command=command, profile=profile,
                  machine=f"{_processor()}, {os.cpu_count()} cores, {platform.system()}", commit=_commit(),
                  versions={"Python": platform.python_version(), **{name: version(name) for name in _PACKAGES}})


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    # An installed package may lie in the repository of something else.
    ours = _git("ls-files", "--error-unmatch", "__init__.py") is not None
    head = _git("rev-parse", "--short", "HEAD") if ours else None
    if head is None:
        return "none, the code is not in a repository"
    return f"{head}, with changes" if _git("status", "--porcelain", "--", ".") else head


def _git(*asked: str) -> str | None:
    try:
        done = subprocess.run(["git", *asked], cwd=_HERE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
