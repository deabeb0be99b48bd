"""`kill -9` of a worker, alone or with the run that it has: `qstar up` again, and what it ran is taken up once and ends
like an undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.project import Project, ProjectHere
from tests.flows.test_kill import FILES, objects_in
from tests.flows.test_nights import begin, process_of, runs, until

POOL = "felled"
SLOW_KILLS = 8


QUICK = {"QSTAR__OPERATIONS__POOL": POOL, "PREFECT_WORKER_QUERY_SECONDS": "1"}


@pytest.fixture(scope="module")
def felled(tmp_path_factory: pytest.TempPathFactory, model_cache: Path, api_url: str) -> Iterator[Project]:
    """A project whose workers die."""
    project = Project.make(tmp_path_factory.mktemp(POOL), model_cache, api_url, **QUICK)
    with project.servers_stopped():
        yield project


def worker_of(project: Project) -> int:
    """The process that begins what loads models; the leader of the group in which these run."""
    known = json.loads((project.folder / ".qstar" / "prefect" / "workers.json").read_text())
    return int(known[f"{POOL}-gpu"]["pid"])


def ledger(project: Project, dataset: str) -> dict[Path, int]:
    """The lines of finished shards, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in project.dataset(dataset).glob("rounds/1/*/ledger/*")}


def kill(project: Project, dataset: str, objects: int, alone: bool) -> dict[Path, int]:
    """Once the round has so many objects; what was finished then."""
    folder = project.dataset(dataset)
    until(lambda: objects_in(folder) >= objects and process_of(project, dataset, "1"))
    worker = worker_of(project)
    (os.kill if alone else os.killpg)(worker, signal.SIGKILL)
    assert not (folder / "latest.json").exists(), "it ended before it could be killed: the test tests nothing"
    return ledger(project, dataset)


def taken_up(project: Project, undisturbed: Project, api_url: str, dataset: str, finished: dict[Path, int]) -> None:
    project.run("up", "--config", "tiny", QSTAR__DATASET=dataset)
    until(lambda: (project.dataset(dataset) / "latest.json").exists())
    states = until(lambda: _ended(api_url, dataset))
    assert states == ["Completed", "Crashed"], "taken up once, and the server knows what became of the first"
    assert {path: made for path, made in ledger(project, dataset).items() if path in finished} == finished
    for file in FILES:
        assert project.rows(file, name=dataset) == undisturbed.rows(file)
    assert project.manifest(name=dataset)["funnel"] == undisturbed.manifest()["funnel"]


def _ended(api_url: str, dataset: str) -> list[str] | None:
    """The states of the runs that began, once none is at work."""
    found = runs(api_url, f"refresh/{dataset}")
    states = sorted(run["state_name"] for run in found if run["state_name"] != "Scheduled")
    return None if {"Running", "Pending", "Submitting"} & set(states) else states


def test_a_killed_worker_and_its_run_are_made_good(here: ProjectHere, undisturbed: Project, api_url: str) -> None:
    project = replace(here, env={**here.env, **QUICK})
    with project.servers_stopped():
        project.run("up", "--config", "tiny", QSTAR__DATASET="felled")
        begin(api_url, "felled", round_name="1")
        until(lambda: ledger(project, "felled"))
        finished = kill(project, "felled", objects=0, alone=False)
        assert finished
        taken_up(project, undisturbed, api_url, "felled", finished)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(SLOW_KILLS))
def test_killed_at_a_random_time(felled: Project, undisturbed: Project, api_url: str, place: int) -> None:
    dataset, chance = f"felled-{place}", random.Random(200 + place)
    felled.run("up", "--config", "tiny", QSTAR__DATASET=dataset)
    begin(api_url, dataset, round_name="1")
    most = objects_in(undisturbed.dataset() / "rounds")
    finished = kill(felled, dataset, chance.randrange(1, most), alone=place % 2 == 0)
    time.sleep(chance.random())
    taken_up(felled, undisturbed, api_url, dataset, finished)
