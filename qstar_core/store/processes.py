"""Where a process number means something, and whether the process of that number lives."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def here() -> str:
    """This machine; containers count apart, even when they share a host name."""
    with suppress(OSError):
        return f"{platform.node()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return platform.node()


def alive(pid: int) -> bool:
    """Whether a process of this machine lives; a dead one that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
