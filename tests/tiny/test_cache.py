"""A cached folder is made once and is never half made."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qstar_core.errors import ModelError
from qstar_core.tiny.cache import made_once


def test_made_once_by_many_at_the_same_time(tmp_path: Path) -> None:
    calls: list[Path] = []
    entered = threading.Event()

    def make(folder: Path) -> None:
        calls.append(folder)
        entered.wait(0.2)  # the others are waiting by now
        (folder / "weights").write_text("w")

    threads = [threading.Thread(target=made_once, args=(tmp_path, "toy", "k", make)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert (tmp_path / "toy-k" / "weights").read_text() == "w"


def test_a_failed_make_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("h")
        raise ModelError("no", "yes")

    with pytest.raises(ModelError):
        made_once(tmp_path, "toy", "k", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".toy.lock"]
    assert made_once(tmp_path, "toy", "k", lambda folder: (folder / "f").touch()) == tmp_path / "toy-k"


def test_what_a_killed_maker_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".toy-abc.partial"
    other = tmp_path / ".other-abc.partial"
    for folder in (left, other):
        folder.mkdir()
        (folder / "half").write_text("h")
    made_once(tmp_path, "toy", "k", lambda folder: None)
    assert not left.exists() and other.exists()


def test_others_may_read_what_was_made(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "sub").mkdir(mode=0o700)
        (folder / "sub" / "f").touch(mode=0o600)

    made = made_once(tmp_path, "toy", "k", make)
    assert [path.stat().st_mode & 0o777 for path in (made, made / "sub", made / "sub" / "f")] == [0o755, 0o755, 0o644]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="file/cache cannot be written"):
        made_once(tmp_path / "file" / "cache", "toy", "k", lambda folder: None)
