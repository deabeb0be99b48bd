"""What only a directory can get wrong: processes that race or die, disks that are full or read-only."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.errors import ConflictError, NotFoundError, StoreError
from qstar_core.store.directory import DirectoryStore
from tests.disks import small_disk_at

_PARTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=40)
_KEYS = st.lists(_PARTS.filter(lambda part: part not in (".", "..", ".tmp")), min_size=1, max_size=4).map("/".join)


def _apart(objects: dict[str, bytes]) -> bool:
    """No key is a folder of another one."""
    return not any(other.startswith(f"{key}/") for key in objects for other in objects)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(_KEYS, st.binary(max_size=2000), max_size=6).filter(_apart))
def test_holds_any_keys_and_bytes(objects: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(Path(folder))
        for key, data in objects.items():
            assert store.write(key, data) == hashlib.sha256(data).hexdigest()
        assert [info.key for info in store.list("")] == sorted(objects)
        for info in store.list(""):
            assert store.read_with_etag(info.key) == (objects[info.key], info.etag)
        for key in objects:
            store.delete(key)
        assert not list(store.list(""))


def _create(root: Path, name: str, barrier: Barrier) -> None:
    store = DirectoryStore(root)
    for number in range(20):
        barrier.wait()
        try:
            store.write(f"race/{number}", name.encode(), if_absent=True)
            store.write(f"won/{number}/{name}", b"")
        except ConflictError:
            pass


def _count(root: Path, name: str, barrier: Barrier) -> None:
    store = DirectoryStore(root)
    barrier.wait()
    for _ in range(25):
        while True:
            data, etag = store.read_with_etag("counter")
            try:
                store.write("counter", str(int(data) + 1).encode(), if_match=etag)
                break
            except ConflictError:
                pass


def _run_processes(target: object, root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(6)
    processes = [context.Process(target=target, args=(root, f"p{number}", barrier)) for number in range(6)]  # type: ignore[arg-type]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6


def test_one_of_six_processes_creates(tmp_path: Path) -> None:
    _run_processes(_create, tmp_path)
    store = DirectoryStore(tmp_path)
    for number in range(20):
        winner = store.read(f"race/{number}").decode()
        assert [info.key for info in store.list(f"won/{number}/")] == [f"won/{number}/{winner}"]


def test_six_processes_count_without_loss(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).write("counter", b"0")
    _run_processes(_count, tmp_path)
    assert DirectoryStore(tmp_path).read("counter") == b"150"


@pytest.mark.parametrize("change", ["write", "delete", "copy"])
def test_every_change_waits_for_a_comparison_in_progress(tmp_path: Path, change: str) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"1")
    store.write("b", b"2")
    act = {"write": lambda: store.write("a", b"2"), "delete": lambda: store.delete("a"),
           "copy": lambda: store.copy("b", "a")}[change]
    with (tmp_path / ".tmp" / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=act)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert store.read("a") == b"1"
    thread.join(10)
    assert not thread.is_alive()
    assert store.head("a") is None if change == "delete" else store.read("a") == b"2"


_ENDLESS = """
import sys
from pathlib import Path
from qstar_core.store.directory import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number = (number + 1) % 256
    store.upload("object", Path(sys.argv[2]))
    store.write("other", bytes([number]) * 5_000_000)
"""


def test_a_killed_writer_leaves_nothing_half_written(tmp_path: Path) -> None:
    root, source = tmp_path / "store", tmp_path / "source"
    source.write_bytes(b"s" * 30_000_000)
    left = 0
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(root), str(source)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        left += len(list((root / ".tmp").glob("*@*")))
        store = DirectoryStore(root)
        assert not list((root / ".tmp").glob("*@*"))
        sizes = {info.key: info.size for info in store.list("")}
        assert sizes.items() <= {"object": 30_000_000, "other": 5_000_000}.items()
        if "other" in sizes:
            assert len(set(store.read("other"))) == 1
    assert left  # otherwise no writer died in the middle


def test_opening_spares_the_files_of_the_living(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with store._temporary() as temp:
        temp.write_bytes(b"half")
        elsewhere = temp.with_name(f"elsewhere@{2**22 + 1}@0")
        elsewhere.write_bytes(b"half")
        DirectoryStore(tmp_path)
        assert temp.exists()
        assert elsewhere.exists()
        os.utime(elsewhere, (0, 0))
        DirectoryStore(tmp_path)
        assert not elsewhere.exists()
    assert not temp.exists()


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"1", if_absent=True)
    with pytest.raises(ConflictError):
        store.write("a", b"2", if_absent=True)
    store.copy("a", "b")
    store.copy("b", "a")
    assert [path.name for path in (tmp_path / ".tmp").iterdir()] == ["lock"]


def test_an_edit_in_place_changes_the_etag(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"12")
    with (tmp_path / "a").open("r+b") as file:
        file.write(b"3")
    os.utime(tmp_path / "a")  # clocks tick coarsely
    info = store.head("a")
    assert info is not None
    assert info.etag == hashlib.sha256(b"32").hexdigest() == store.read_with_etag("a")[1]


def test_a_folder_cannot_become_an_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a/b", b"1")
    for key in ("a", "a/b/c"):
        for if_absent in (True, False):
            with pytest.raises(StoreError, match="choose another name") as caught:
                store.write(key, b"2", if_absent=if_absent)
            assert not isinstance(caught.value, ConflictError)
    assert [info.key for info in store.list("")] == ["a/b"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    # /sys refuses new folders to everybody, root included
    for root in (tmp_path / "file", tmp_path / "file" / "store", Path("/sys/store")):
        store = DirectoryStore(root)
        assert list(store.list("")) == []
        assert store.head("a") is None
        with pytest.raises(StoreError, match=f"cannot write to {root}.*writable store.uri"):
            store.write("a", b"1")
    with pytest.raises(StoreError, match=f"cannot write to {tmp_path / 'file' / 'out'}"):
        DirectoryStore(tmp_path).download("file", tmp_path / "file" / "out")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path / "disk", 1) as disk:
        yield disk


def test_a_full_and_a_read_only_disk(tiny_disk: Path) -> None:
    store = DirectoryStore(tiny_disk)
    store.write("a", b"1")
    with pytest.raises(StoreError, match=f"no space left to write {tiny_disk}/a.*free disk"):
        store.write("a", b"2" * 2_000_000)
    assert store.read("a") == b"1"
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    store = DirectoryStore(tiny_disk)
    assert store.read("a") == b"1"
    for change in (lambda: store.write("a", b"3"), lambda: store.delete("a"), lambda: store.copy("a", "b")):
        with pytest.raises(StoreError, match=f"cannot write to {tiny_disk}/.*choose a writable store.uri"):
            change()


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from qstar_core.errors import StoreError
from qstar_core.store.directory import DirectoryStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = DirectoryStore(Path(sys.argv[1]))
store.write("a", b"1" * 1000)
try:
    store.write("a", b"2" * 1_000_000)
except StoreError as error:
    print(error)
assert store.read("a") == b"1" * 1000
assert len(list((Path(sys.argv[1]) / ".tmp").iterdir())) == 1
"""


def test_a_file_that_passes_the_size_limit(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"cannot write to {tmp_path}/a" in result.stdout
    assert "ulimit" in result.stdout


def test_a_pipe_or_a_device_is_no_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    assert list(store.list("")) == []
    for key in ("pipe", "zeros"):
        with pytest.raises(NotFoundError):
            store.read(key)
        with pytest.raises(NotFoundError):
            next(store.chunks(key))
