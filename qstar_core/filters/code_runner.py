"""One untrusted program in a process of its own, with everything taken away that can be; see `code_child` for the
limits. On Linux `unshare` gives it a user, network, process and mount namespace: no network, and killing its first
process kills them all."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from qstar_core.errors import ConfigError

_CHILD = Path(__file__).with_name("code_child.py")
_ISOLATED = ("--user", "--map-root-user", "--net", "--pid", "--ipc", "--fork", "--mount-proc", "--kill-child")
_GRACE = 2.0  # seconds to start
_MOST_OUTPUT = 1 << 20
CANNOT_START = 97  # what `code_child` ends with where a limit cannot be set


class Ended(Enum):
    WELL = "well"
    FAILED = "failed"
    LATE = "late"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float
    memory_mb: int
    processes: int
    file_mb: int
    allow_network: bool


@functools.cache
def isolates() -> bool:
    """Can this machine give a process namespaces of its own?"""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    done = subprocess.run([unshare, *_ISOLATED, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def check_isolation(allow_network: bool) -> None:
    if not allow_network and not isolates():
        raise ConfigError("the filter code cannot take the network away from programs here (unshare is missing or "
                          "not allowed)", "run on Linux with user namespaces, or set allow_network: true knowingly")


def run_program(source: str, given: str, limits: Limits) -> tuple[Ended, str]:
    """How it ended, and what it printed, its beginning."""
    with tempfile.TemporaryDirectory(prefix="qstar-code-", ignore_cleanup_errors=True) as folder:
        program, output = Path(folder) / "program.py", Path(folder) / "output"
        program.write_text(source, encoding="utf-8", errors="replace")
        (Path(folder) / "input").write_text(given, encoding="utf-8", errors="replace")
        command = [sys.executable, "-I", str(_CHILD), json.dumps(asdict(limits)), folder]
        if isolates():
            command = [shutil.which("unshare") or "unshare", *_ISOLATED, *command]
        with (Path(folder) / "input").open("rb") as stdin, output.open("wb") as stdout:
            process = subprocess.Popen(command, cwd=folder, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL,
                                       env={"PATH": os.defpath, "HOME": folder, "LANG": "C.UTF-8"},
                                       start_new_session=True)
            ended = _wait(process, limits.seconds)
        with output.open("rb") as printed:
            return ended, printed.read(_MOST_OUTPUT).decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> Ended:
    since = time.monotonic()
    try:
        code = process.wait(seconds + _GRACE)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):  # what it left running goes with it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0:
        return Ended.WELL
    if code == CANNOT_START:
        return Ended.ERROR
    return Ended.LATE if time.monotonic() - since >= seconds else Ended.FAILED
