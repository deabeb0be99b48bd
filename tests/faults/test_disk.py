"""Publishing into a directory whose disk is full or broken: one line, nothing visible, and it goes on afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_core.errors import StoreError
from qstar_core.store.directory import DirectoryStore
from tests.disks import small_disk_at
from tests.faults.rounds import Round, finished, nothing_is_lost


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path / "disk", 4) as disk:
        yield disk


@pytest.mark.parametrize("left", [0, 1])
def test_a_disk_that_fills_up_while_publishing(small_disk: Path, judged: Round, left: int) -> None:
    """`left` pages of 4 KiB are free when it begins."""
    store = DirectoryStore(small_disk / "store")
    judged.put(store)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    with filler.open("rb+") as file:
        file.truncate(filler.stat().st_size - left * 4096)
    with pytest.raises(StoreError, match=f"no space left to write {small_disk}/store/.* — free disk or move the store"):
        judged.publish(store)
    nothing_is_lost(store, judged)
    filler.unlink()
    finished(store, judged)


def test_a_disk_that_cannot_be_read(tmp_path: Path, judged: Round) -> None:
    store = DirectoryStore(tmp_path / "store")
    judged.put(store)
    page = tmp_path / "store" / judged.plan.staged_key / "report.html"
    bytes_of_page = page.read_bytes()
    page.unlink()
    page.symlink_to("/proc/self/mem")  # whose first page gives a true input/output error
    with pytest.raises(StoreError, match=r"cannot read .*: Input/output error — check the disk"):
        judged.publish(store)
    page.unlink()
    page.write_bytes(bytes_of_page)
    finished(store, judged)
