"""A line is trained on a version once: what was not trained on is found, and of two runs at once the second finds what
the first made.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qstar_core.checkpoints import save_checkpoint
from qstar_core.recipes import Sft
from qstar_core.stages.retraining import trained_on, untrained, version_held
from qstar_core.stages.workspace import Workspace
from qstar_core.store import leases
from qstar_core.store.directory import DirectoryStore
from tests.stages.made import publish, workspace

Checkpoints = tuple[Path, Path]


@pytest.fixture
def published(tmp_path: Path) -> Workspace:
    store = DirectoryStore(tmp_path / "store")
    for name in ("v1", "v2"):
        publish(store, tmp_path / "made", name)
    return workspace(store, training=Sft())


def train(wanted: Workspace, folder: Path, version: str, line: str = "default") -> None:
    save_checkpoint(wanted.store, folder, line=line, recipe="sft", settings={}, metrics={}, dataset_version=version)


def test_the_latest_version_is_found_until_the_line_was_trained_on_it(published: Workspace,
                                                                      checkpoints: Checkpoints) -> None:
    line = published.settings.student.line
    assert untrained(published) == "v2" and trained_on(published, "d v2") is None
    train(published, checkpoints[0], "d v2", "another-line")
    train(published, checkpoints[0], "d v1", line)
    train(published, checkpoints[0], "e v2", line)
    assert untrained(published) == "v2", "another line, another version, another dataset"
    train(published, checkpoints[0], "d v2", line)
    made = trained_on(published, "d v2")
    assert untrained(published) is None and made is not None and made.dataset_version == "d v2"


def test_where_nobody_wants_retraining_or_nothing_is_published_there_is_nothing_to_do(published: Workspace,
                                                                                      tmp_path: Path) -> None:
    assert untrained(workspace(published.store)) is None
    assert untrained(workspace(DirectoryStore(tmp_path / "empty"), training=Sft())) is None


def test_of_a_loop_and_an_event_at_once_the_second_waits_and_finds_the_work_done(
        published: Workspace, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they call the version."""
    monkeypatch.setattr(leases, "_POLL_S", 0.02)
    line, waited, found = published.settings.student.line, threading.Event(), []

    def event() -> None:
        with version_held(published, "v2", "event", lambda _: waited.set()) as version:
            assert version is not None
            found.append(trained_on(published, version))

    with version_held(published, "latest", "loop") as version:
        assert version == "d v2"
        thread = threading.Thread(target=event)
        thread.start()
        assert waited.wait(20) and not found
        time.sleep(0.1)
        train(published, checkpoints[0], version, line)
    thread.join(20)
    assert len(found) == 1 and found[0] is not None


def test_a_folder_of_rows_is_nobody_elses(published: Workspace, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with version_held(published, str(tmp_path / "rows"), "a") as first, \
            version_held(published, str(tmp_path / "rows"), "b") as second:
        assert first is None and second is None
