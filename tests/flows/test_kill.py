"""`kill -9` of the demo anywhere, then the demo again: the version equals that of an undisturbed run, row for row."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qstar_core.config import Settings
from qstar_core.stages.lines import load_lines
from qstar_core.stages.parts import Parts
from qstar_core.stages.plan import PlannedPrompt, load_plan, planned_in
from qstar_core.stages.workspace import Workspace, today
from qstar_core.store.directory import DirectoryStore
from tests.flows.project import Project

FILES = ("data/data.jsonl", "diagnostics/diagnostics.jsonl", "rejects/rejects.jsonl")
QUICK_POINTS = 2
SLOW_POINTS = 22
LONG = ("--round.prompts", "400", "--round.shard_size", "400")


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


def stopped(project: Project, *signals: signal.Signals, **env: str) -> tuple[str, list[str], list[str]]:
    """A run of one long shard gets the signals once it has a row checkpoint. What it said; its samples in the order in
    which they begin; and those that are in row checkpoints, in the same order."""
    process = project.start("refresh", "--config", "tiny", *LONG, **env)
    until(lambda: list(project.dataset().glob("rounds/*/*/parts/*/*")))
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert f"resume with: qstar refresh {shlex.join(('--config', 'tiny', *LONG))} --round {today()}\n" in err
    store = DirectoryStore(project.store)
    plan = load_plan(store, planned_in(store, f"datasets/demo/rounds/{today()}")[0])
    planned = [name for line in load_lines(store, plan.shards[0].jobs, PlannedPrompt) for name in line.sample_ids]
    with Workspace(Settings(), store).scratch() as scratch:
        kept = {row.sample.id for row in Parts(store, plan.parts_key(0), scratch).read()}
    return err, planned, [name for name in planned if name in kept]


def until(true: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def test_sigterm_ends_a_run_in_one_line_once_every_row_in_flight_is_kept(project: Project) -> None:
    err, planned, kept = stopped(project, signal.SIGTERM, signal.SIGTERM)
    assert re.search(r"stopping +\d+ samples in flight are finished first", err), err
    assert kept == planned[: len(kept)], "samples begin in this order: a gap is one that was in flight and is lost"
    assert 0 < len(kept) < len(planned), "new ones began"
    assert not (project.dataset() / "latest.json").exists()


@pytest.mark.slow
def test_what_was_stopped_goes_on_to_the_undisturbed_result(tmp_path: Path, model_cache: Path, api_url: str) -> None:
    calm, project = (Project.make(tmp_path / name, model_cache, api_url) for name in ("calm", "stopped"))
    calm.run("refresh", "--config", "tiny", *LONG)
    _, planned, kept = stopped(project, signal.SIGTERM)
    assert 0 < len(kept) < len(planned) and kept == planned[: len(kept)]
    project.run("refresh", "--config", "tiny", *LONG)
    for file in FILES:
        assert project.rows(file) == calm.rows(file)


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
