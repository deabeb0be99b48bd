"""Runs as a script, in the process of the untrusted program: sets the limits, then becomes the program. Only the
standard library, because nothing else of the project is to be within the program's reach.

Memory, processor time, processes and the size of files are resource limits. A process namespace of its own gets a limit
on process numbers too, since the kernel exempts the superuser from the other one. Landlock, where the kernel has it,
leaves one folder to write to.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import sys

_CANNOT_START = 97
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, the same numbers on every architecture
_WRITES = 0b1_1111_1111_0010  # write to, remove and make files, folders, links, sockets and devices: version 1
_TRUNCATE = 1 << 14  # since version 3
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38


def main() -> None:
    limits, folder = json.loads(sys.argv[1]), sys.argv[2]
    try:
        with contextlib.suppress(OSError):  # a namespace of its own only; the kernel asks for at least 301
            limit_process_numbers()
        for kind, value in (
            (resource.RLIMIT_AS, limits["memory_mb"] << 20), (resource.RLIMIT_FSIZE, limits["file_mb"] << 20),
            (resource.RLIMIT_CPU, math.ceil(limits["seconds"])), (resource.RLIMIT_NPROC, limits["processes"]),
            (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(kind, (value, value))
        write_below(folder)
    except (OSError, ValueError):
        sys.exit(_CANNOT_START)
    os.execv(sys.executable, [sys.executable, "-I", os.path.join(folder, "program.py")])  # noqa: PTH118


def limit_process_numbers() -> None:
    if os.getpid() <= 2:  # the first processes of a namespace; outside of one this would be the machine's limit
        with open("/proc/sys/kernel/pid_max", "w") as file:  # noqa: PTH123
            file.write("301")


def landlock_version() -> int:
    """Below 1 where the kernel has none."""
    version: int = ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return version


def write_below(folder: str) -> None:
    """Nothing outside of the folder can be written, removed or made, where the kernel has Landlock."""
    version = landlock_version()
    if version < 1:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    handled = _WRITES | (_TRUNCATE if version >= 3 else 0)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(ctypes.c_uint64(handled)), ctypes.c_size_t(8), 0)
    beneath = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    rule = handled.to_bytes(8, sys.byteorder) + beneath.to_bytes(4, sys.byteorder)
    null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    null_rule = (0b10).to_bytes(8, sys.byteorder) + null.to_bytes(4, sys.byteorder)
    failed = ruleset < 0
    failed |= libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0
    failed |= libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, null_rule, 0) != 0
    failed |= libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
    failed |= libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0
    if failed:
        raise OSError(ctypes.get_errno(), "Landlock refused")


if __name__ == "__main__":
    main()
