"""One process a device: a lock file on the machine for every device that the process sees, held until it ends.

The kernel gives the locks back when the process dies, however it dies, so a dead holder blocks nobody. The file says
who holds it. Devices are known by their hardware id, so that two processes which number them differently mean the same
one. Processes in containers of their own share the lock only where they share the folder (QSTAR_LOCKS).
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

from qstar_core.engine.hf import resolve_device
from qstar_core.errors import StoreError

_POLL_S = 0.5
_held: dict[str, int] = {}


def hold_device(device: str, mode: Literal["auto", "on", "off"], who: str,
                on_wait: Callable[[str], None] | None = None) -> None:
    """Wait until no other process holds the device, then hold it to the end of this one. `auto` locks GPUs only.
    `on_wait` hears once who holds it."""
    found = resolve_device(device)
    if mode == "off" or (mode == "auto" and found.type == "cpu"):
        return
    name = _hardware(found)
    if name not in _held:
        _held[name] = _locked(lock_folder() / f"{name}.lock", f"{name} is used by", who, on_wait)


def release_devices() -> None:
    """Before the end of the process; for a process that goes on without models."""
    while _held:
        os.close(_held.popitem()[1])


def lock_folder() -> Path:
    """The same for all users of the machine, who all may lock."""
    path = Path(os.environ.get("QSTAR_LOCKS") or Path(tempfile.gettempdir()) / "qstar-locks")
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o1777)
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror}", "set QSTAR_LOCKS to a writable folder") from None
    return path


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return f"cuda-{torch.cuda.get_device_properties(index).uuid}"
    return device.type


def _locked(path: Path, told: str, who: str, on_wait: Callable[[str], None] | None) -> int:
    try:
        handle = _opened(path)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}", "set QSTAR_LOCKS to a folder of your own, or "
                                                                  "operations.device_lock to off") from None
    waited = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not waited and on_wait is not None:
                on_wait(f"{told} {_holder(handle)}")
            waited = True
            time.sleep(_POLL_S)
    os.ftruncate(handle, 0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.pwrite(handle, json.dumps({"who": who, "pid": os.getpid(), "since": since}).encode(), 0)
    return handle


def _opened(path: Path) -> int:
    """Never truncated and never removed: a file that is replaced would be two locks. Another user's file is opened
    without O_CREAT, which Linux refuses in a folder that all may write."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    os.fchmod(handle, 0o666)
    return handle


def _holder(handle: int) -> str:
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f"{str(told['who'])[:200]} (process {int(told['pid'])}, since {str(told['since'])[:40]})"
    except (ValueError, KeyError, TypeError):
        return "a process that has not said its name yet"
