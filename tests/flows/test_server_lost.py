"""The Prefect server dies in the middle of a run. One that comes back soon is a pause; without it the run ends in time
with its code. Nothing finished is lost, and nothing runs twice.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.project import Project
from tests.flows.test_kill import FILES, objects_in, until

LONGEST_S = 150
SLOW_KILLS = 5


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Project]:
    """A project with a server of its own, which dies."""
    project = Project.make(tmp_path_factory.mktemp("served"), model_cache, None)
    with project.servers_stopped():
        yield project


def kill_server(project: Project) -> None:
    known = json.loads((project.folder / ".qstar" / "prefect" / "server.json").read_text())
    os.killpg(known["pid"], signal.SIGKILL)


def finished(project: Project, dataset: str) -> dict[Path, int]:
    """The files of finished shards, and when each was made."""
    return {path: path.stat().st_mtime_ns for path in project.dataset(dataset).glob("rounds/1/*/shards/*")}


def ends_like(project: Project, undisturbed: Project, dataset: str, before: dict[Path, int]) -> None:
    after = finished(project, dataset)
    assert {path: after.get(path) for path in before} == before, "no finished shard ran again"
    for file in FILES:
        assert project.rows(file, name=dataset) == undisturbed.rows(file)
    assert project.manifest(name=dataset)["funnel"] == undisturbed.manifest()["funnel"]


def restarted(project: Project, undisturbed: Project, dataset: str, objects: int) -> None:
    """The server is killed once the run has so many objects, and started again; where that takes longer than the run's
    patience, the same command goes on."""
    project.run("up", "--no-workers")
    process = project.start("demo", "--dataset", dataset)
    folder = project.dataset(dataset)
    until(lambda: objects_in(folder) >= objects or process.poll() is not None)
    assert process.poll() is None, "the run ended before the server could be killed: the test tests nothing"
    kill_server(project)
    before = finished(project, dataset)
    project.run("up", "--no-workers")
    _, err = process.communicate(timeout=600)
    assert process.returncode in (0, 8) and "Traceback" not in err, err
    if process.returncode:
        project.run("demo", "--dataset", dataset)
    ends_like(project, undisturbed, dataset, before)


def test_a_killed_server_that_comes_back_costs_nothing(served: Project, undisturbed: Project) -> None:
    restarted(served, undisturbed, "back", objects=objects_in(undisturbed.dataset() / "rounds") // 2)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(SLOW_KILLS))
def test_killed_at_a_random_time_it_comes_back(served: Project, undisturbed: Project, place: int) -> None:
    most = objects_in(undisturbed.dataset() / "rounds")
    restarted(served, undisturbed, f"back-{place}", random.Random(300 + place).randrange(1, most))


@pytest.mark.slow
def test_a_killed_server_ends_the_run_with_its_code_and_loses_nothing(served: Project, undisturbed: Project) -> None:
    served.run("up", "--no-workers")
    process = served.start("demo")
    until(lambda: list(served.dataset().glob("rounds/1/*/ledger/*")))
    kill_server(served)
    since = time.monotonic()
    _, err = process.communicate(timeout=600)
    assert process.returncode == 8 and "the Prefect server at" in err and "Traceback" not in err, err
    assert time.monotonic() - since < LONGEST_S
    before = finished(served, "demo")
    served.run("demo")
    assert before
    ends_like(served, undisturbed, "demo", before)
