"""A log file for every run, below the project's home: JSON lines with the ids of run, task, shard and prompts, that
neither a server nor a terminal is needed to read. What looks like a secret is not written.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qstar_core.home import subfolder
from tasks.events import Failure, ShardDone, Told, listening

KEPT_FILES = 200
FIELDS = ("flow_run_id", "flow_run_name", "task_run_name", "shard", "prompts", "samples", "tokens")
_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "qstar")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|AUTH_STRING", re.IGNORECASE)
_SHORTEST = 6


def logs_folder() -> Path:
    return subfolder("logs")


@contextmanager
def run_log(run_id: str, run_name: str) -> Iterator[Path]:
    """Everything that the run logs and tells inside of the block is also in the file; a run that is begun again goes on
    in its file."""
    folder = logs_folder()
    for old in sorted(folder.glob("*.jsonl"), key=_modified)[:-KEPT_FILES]:
        old.unlink(missing_ok=True)
    path = folder / f"{run_id}.jsonl"
    handler = _QuietFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_JsonLine(run_id, run_name))
    own = logging.getLogger("qstar")
    own.setLevel(logging.INFO)
    own.propagate = False
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with listening(_tell):
            yield path
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        with suppress(OSError):  # a full disk: what the run ends with is told, not this
            handler.close()


def redacted(text: str) -> str:
    """Without credentials in addresses, and without the values of variables whose names speak of secrets."""
    text = _IN_ADDRESS.sub("***@", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAMES.search(name) and value in text:
            text = text.replace(value, "***")
    return text


class _QuietFile(logging.FileHandler):
    """A full disk costs the line, not the run, and puts nothing between the lines of the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        del record


class _JsonLine(logging.Formatter):
    def __init__(self, run_id: str, run_name: str) -> None:
        super().__init__()
        self._run = {"flow_run_id": run_id, "flow_run_name": run_name}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname, "message": record.getMessage(), **self._run,
        }
        for name in FIELDS:
            if getattr(record, name, None) not in (None, "<unknown>", ""):
                line[name] = getattr(record, name)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        clean = {name: redacted(value) if isinstance(value, str) else value for name, value in line.items()}
        return json.dumps(clean, ensure_ascii=False, default=str)


def _tell(event: Told) -> None:
    log = logging.getLogger("qstar")
    if isinstance(event, ShardDone):
        log.info("shard sampled in %.1f s", event.seconds, extra={"shard": event.shard})
    elif isinstance(event, Failure):
        log.warning("%d failed: %s", event.count, event.reason)


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
