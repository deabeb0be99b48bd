"""`qstar logs`: what a run logged, from the files below the project's home; no server is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich_click as click

from flows.console import out
from qstar_core.errors import NotFoundError
from tasks.runlog import logs_folder

_SHOWN = ("shard", "samples", "tokens")


@click.command()
@click.argument("run", required=False)
@click.option("--json", "raw", is_flag=True, help="The lines as they are, with the ids of prompts")
@click.option("--list", "listed", is_flag=True, help="List the runs that have a log, the newest first")
def logs(run: str | None, raw: bool, listed: bool) -> None:
    """Print the log of a run: its id, the beginning of it, or its name such as `demo round 1`; else of the last run."""
    files = sorted(logs_folder().glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    if listed:
        for path in files:
            out.print(f"{path.stem}  {_name(path)}", highlight=False, markup=False, soft_wrap=True)
        return
    for text in _chosen(files, run).read_text(encoding="utf-8").splitlines():
        line = None if raw else _read(text)
        out.print(text if line is None else _told(line), highlight=False, markup=False, soft_wrap=True)


def _chosen(files: list[Path], run: str | None) -> Path:
    for path in files:
        if run is None or path.stem.startswith(run) or _name(path) == run:
            return path
    raise NotFoundError("no run has a log here yet" if run is None else f"no run {run!r} has a log here",
                        "`qstar logs --list` lists those that have one")


def _name(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return next((str(line.get("flow_run_name", "")) for line in map(_read, lines) if line), "")


def _read(text: str) -> dict[str, Any] | None:
    """None where the line was cut off by a crash."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _told(line: dict[str, Any]) -> str:
    return " ".join(_parts(line))


def _parts(line: dict[str, Any]) -> Iterator[str]:
    yield str(line.get("time", ""))[:19].replace("T", " ")
    yield f"{line.get('level', ''):<7}"
    yield str(line.get("message", ""))
    shown = [f"{name} {line[name]}" for name in _SHOWN if name in line]
    if shown:
        yield f"({', '.join(shown)})"
    if "error" in line:
        yield str(line["error"])
