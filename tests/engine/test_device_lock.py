"""One process a device: a second one waits and says for whom; a killed one blocks nobody."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_core.engine.device_lock import hold_device, release_devices
from qstar_core.errors import StoreError

HOLD = """
import sys, time
from qstar_core.engine.device_lock import hold_device
hold_device("cpu", "on", sys.argv[1], lambda line: print(line, flush=True))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("QSTAR_LOCKS", str(tmp_path / "locks"))
    yield tmp_path / "locks"
    release_devices()


def other(name: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLD, name, str(seconds)], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_waits_says_for_whom_and_follows_a_killed_one() -> None:
    first = other("night of demo", 60)
    assert line(first) == "held"
    second = other("by hand", 0)
    assert line(second).startswith(f"cpu is used by night of demo (process {first.pid}, since ")
    first.kill()
    since = time.monotonic()
    assert line(second) == "held" and time.monotonic() - since < 30
    first.wait()
    assert second.wait(30) == 0


def test_a_process_holds_a_device_once_and_cpus_only_when_asked(locks: Path) -> None:
    hold_device("cpu", "auto", "me")
    hold_device("cpu", "off", "me")
    assert not locks.exists()
    hold_device("cpu", "on", "me")
    hold_device("cpu", "on", "me")
    assert [path.name for path in locks.iterdir()] == ["cpu.lock"]


def test_a_link_in_place_of_the_lock_is_refused(locks: Path, tmp_path: Path) -> None:
    locks.mkdir()
    (locks / "cpu.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"cpu\.lock"):
        hold_device("cpu", "on", "me")
    assert not (tmp_path / "elsewhere").exists()
