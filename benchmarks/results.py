"""Rows of benchmarks/RESULTS.md: a section a benchmark, replaced whole by each run, with machine, versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "RESULTS.md"
_HEAD = "# Measured results\n\nWritten by `make bench NAME=…`; nothing here is typed by hand.\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """`goal` is a bound: at most where `at_most`, at least otherwise; None reports without a goal."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_most: bool = True

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return "reported"
        return "ok" if (self.value <= self.goal if self.at_most else self.value >= self.goal) else "short"

    @property
    def bound(self) -> str:
        return "–" if self.goal is None else f"{'≤' if self.at_most else '≥'} {self.goal:g}"


def record(benchmark: str, figures: list[Figure], command: str, note: str = "") -> None:
    """Print the RESULT lines and replace the benchmark's section."""
    for figure in figures:
        print(f"RESULT {figure.name} {figure.value:.4g} {figure.bound} {figure.verdict}")
    rows = [f"| {f.name} | {f.value:.4g} {f.unit} | {f.bound} | {f.verdict} |" for f in figures]
    section = "\n".join([f"## {benchmark}", "", f"`{command}` — {_where()}", *([note] if note else []), "",
                         "| figure | value | goal | |", "|---|---|---|---|", *rows, ""])
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else _HEAD
    pattern = re.compile(rf"^## {re.escape(benchmark)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    kept = pattern.sub("", text).rstrip()
    RESULTS.write_text(f"{kept}\n\n{section}", encoding="utf-8")


def _where() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=REPOSITORY,
                            check=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "--", "qstar_core", "tasks", "flows", "configs"],
                             capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "prefect"))
    return (f"{datetime.now(UTC).date()}, commit {commit}{' with changes' if changed else ''}, {_processor()}, "
            f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
