"""Publishing into a directory whose disk is full or broken: one line, nothing visible, and it goes on afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_core.errors import StoreError
from qstar_core.stages.refine import refine
from qstar_core.store.directory import DirectoryStore
from tests.disks import small_disk_at
from tests.faults.rounds import Round, finished, nothing_is_lost
from tests.stages.conftest import checkpoints, models, project
from tests.stages.scripted import Project

__all__ = ["checkpoints", "models", "project"]


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
    fill(filler)
    with filler.open("rb+") as file:
        file.truncate(filler.stat().st_size - left * 4096)
    with pytest.raises(StoreError, match=f"no space left to write {small_disk}/store/.* — free disk or move the store"):
        judged.publish(store)
    nothing_is_lost(store, judged)
    filler.unlink()
    finished(store, judged)


def test_a_full_disk_beside_the_store(small_disk: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has room, the folder for work in progress has not."""
    plan, home = project.plan(), small_disk / "home"
    monkeypatch.setenv("QSTAR_HOME", str(home))
    (home / "scratch").mkdir(parents=True)
    filler = small_disk / "filler"
    for work in (lambda: project.generated(plan), lambda: refine(project.workspace(), plan)):
        fill(filler)
        with pytest.raises(StoreError, match=f"no space left in {home}/scratch — free disk, or set QSTAR_HOME"):
            work()
        filler.unlink()
        work()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened, pytest.raises(OSError, match="No space left"):
        while True:
            opened.write(bytes(4096))


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
