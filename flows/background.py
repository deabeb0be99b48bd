"""Processes of Prefect that the project keeps in the background, each the leader of a group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from qstar_core.store.processes import alive


def start_prefect(arguments: list[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """`prefect` with these arguments; what it says goes to the end of the log."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "prefect", *arguments], stdin=subprocess.DEVNULL, stdout=output,
                                stderr=output, env={**os.environ, **env}, start_new_session=True)


def stop_prefect(pid: int, patience_s: float) -> bool:
    """Whether it ran. It is asked to end, and made to where it does not."""
    if not is_prefect(pid):
        return False
    os.killpg(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while is_prefect(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    if is_prefect(pid):
        os.killpg(pid, signal.SIGKILL)
    return True


def is_prefect(pid: int) -> bool:
    """Whether the process is still one of Prefect, not another one that got its number."""
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        # where there is no /proc (macOS), the number has to do
        return not Path("/proc/self").exists() and alive(pid)
