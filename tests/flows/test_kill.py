"""`kill -9` of the demo anywhere, then the demo again: the version equals that of an undisturbed run, row for row."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from qstar_core.stages.workspace import today
from tests.flows.project import Project

FILES = ("data/data.jsonl", "diagnostics/diagnostics.jsonl", "rejects/rejects.jsonl")
QUICK_POINTS = 2
SLOW_POINTS = 22


def objects_in(store: Path) -> int:
    return sum(path.is_file() and ".tmp" not in path.parts for path in store.rglob("*"))


def kill_when(project: Project, objects: int) -> bool:
    """Start the demo, kill it when the store holds so many objects; whether it was still running then."""
    process = project.start("demo")
    deadline = time.monotonic() + 120
    while process.poll() is None and objects_in(project.store) < objects and time.monotonic() < deadline:
        time.sleep(0.001)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


def equal_after_kills(project: Project, undisturbed: Project, points: list[int]) -> None:
    killed = [kill_when(project, objects) for objects in points]
    assert any(killed), "no kill hit a running demo: the test tests nothing"
    project.run("demo")
    assert project.latest() == undisturbed.latest()
    for file in FILES:
        assert project.rows(file) == undisturbed.rows(file)
    assert project.manifest()["funnel"] == undisturbed.manifest()["funnel"]
    assert not [path for path in project.dataset().glob("staged/**/*") if path.is_file()], "nothing stays staged"


def points_of(undisturbed: Project, seed: int, count: int) -> list[int]:
    """Kill points spread over all writes of a run, early ones first."""
    most = objects_in(undisturbed.store)
    return sorted(random.Random(seed).sample(range(most), min(count, most)))


def test_killed_twice_and_run_again(project: Project, undisturbed: Project) -> None:
    equal_after_kills(project, undisturbed, points_of(undisturbed, seed=1, count=QUICK_POINTS))


def test_sigterm_ends_a_run_in_one_line_and_keeps_its_rows(project: Project) -> None:
    process = project.start("refresh", "--config", "tiny", "--round.prompts", "1500")
    deadline = time.monotonic() + 120
    while not list(project.dataset().glob("rounds/*/*/parts/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert f"resume with: qstar refresh --config tiny --round.prompts 1500 --round {today()}\n" in err
    assert list(project.dataset().glob("rounds/*/*/parts/*/*")) and not (project.dataset() / "latest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("point", range(SLOW_POINTS))
def test_killed_at_a_random_point(project: Project, undisturbed: Project, point: int) -> None:
    equal_after_kills(project, undisturbed, points_of(undisturbed, seed=100 + point, count=1))


@pytest.mark.slow
def test_killed_while_the_models_are_trained(tmp_path: Path, undisturbed: Project, api_url: str) -> None:
    """On an empty model cache; the models come out the same, bit for bit."""
    project = Project.make(tmp_path / "project", tmp_path / "models", api_url)
    process = project.start("demo")
    time.sleep(12)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    project.run("demo")
    ours, theirs = project.manifest()["models"], undisturbed.manifest()["models"]
    assert {role: ref["sha256"] for role, ref in ours.items()} == {role: ref["sha256"] for role, ref in theirs.items()}
    assert project.rows("data/data.jsonl") == undisturbed.rows("data/data.jsonl")
