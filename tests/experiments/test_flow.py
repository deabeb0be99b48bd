"""`qstar experiment` as a user runs it: a plan, cells as tasks of a real server, nothing twice, and on after a kill."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.experiments.small import SIZES, values
from tests.flows.project import Project, ProjectHere

LEAST = {**SIZES, "prompts": 8}


def written(folder: Path, **changes: Any) -> str:
    (folder / "small.yaml").write_text(yaml.safe_dump(values(**({"sizes": LEAST} | changes)), sort_keys=False))
    return "small.yaml"


def records(folder: Path) -> list[Path]:
    return sorted((folder / ".qstar" / "store" / "experiments" / "cells").glob("*.json"))


def test_cells_are_tasks_and_what_is_done_is_not_done_again(here: ProjectHere) -> None:
    path = written(here.folder, arms=["gold", "rft"], regimes={"shared": {}, "leaky": {}})
    told = here.run("experiment", path, "--dry-run").stdout
    assert "0 done, 2 to do, how long is not known" in told and "gold" in told
    # in a process of its own, whose events reach the server: the names of its task runs come with them
    told = Project.run(here, "experiment", path, "--jobs", "1", "--only", "main/gold").stdout
    assert "1 pieces of work, 1 of them now" in told and str(here.store / "experiments") in told
    before = [one.read_bytes() for one in records(here.folder)]
    assert len(before) == 1 and "1 done, 1 to do, about" in here.run("experiment", path, "--dry-run").stdout
    assert "1 pieces of work, 0 of them now" in here.run("experiment", path, "--only", "main/gold").stdout
    assert [one.read_bytes() for one in records(here.folder)] == before
    with temporary_settings({PREFECT_API_URL: here.env["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        names = {run.name for run in client.read_task_runs(limit=200)}
        keys = {artifact.key for artifact in client.read_latest_artifacts(limit=200)}
    assert "main shared/gold/1" in names and "small-experiment" in keys
    assert not list((here.folder / ".qstar" / "scratch").iterdir()), "workers take their homes with them"


def test_mistakes_are_one_line(here: ProjectHere) -> None:
    assert "there is no spec 'nope'" in here.refused("experiment", "nope", code=2)
    path = written(here.folder, settings={"alpha": {"methd": "x"}})
    assert "unknown setting alpha.methd" in here.refused("experiment", path, "--dry-run", code=2)
    path = written(here.folder, sizes={**SIZES, "prompts": 99_999})
    assert "need 99999" in here.refused("experiment", path, "--only", "main/gold", "--jobs", "1", code=3)
    (here.folder / "file").write_text("")
    assert "cannot write the page into file" in here.refused("experiment", path, "--page", "file/page", code=6)
    path = written(here.folder, not_run_here="it needs a GPU")
    assert "main: not run here, it needs a GPU" in here.run("experiment", path, "--dry-run").stdout
    assert "0 pieces of work" in here.run("experiment", path).stdout


def test_a_result_that_is_no_longer_what_comes_out_is_found(here: ProjectHere) -> None:
    path = written(here.folder, arms=["gold"])
    assert "no cell of it is done" in here.refused("experiment", path, "--again", "1", code=3)
    told = Project.run(here, "experiment", path, "--jobs", "1")  # whose stderr is no terminal
    assert "experiment 0 done, 1 to do; small" in told.stderr
    assert "1 of 1 the same bit for bit" in here.run("experiment", path, "--again", "5").stdout
    (record,) = records(here.folder)
    found = json.loads(record.read_bytes())
    found["points"][1]["kl_initial"] += 1e-9
    record.write_text(json.dumps(found))
    assert "1 of 1 came out otherwise: main default/gold/1" in here.refused("experiment", path, "--again", "1", code=6)
    assert json.loads(record.read_bytes()) == found


@pytest.mark.slow
def test_two_runs_at_once_share_the_work_and_a_killed_ones_claim_is_taken(project: Project) -> None:
    path = written(project.folder, arms=["gold"], seeds=[1, 2, 3, 4, 5, 6])
    killed = project.start("experiment", path, "--jobs", "2")
    while not list((project.folder / ".qstar" / "store" / "experiments" / "claims").glob("*.json")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.1)
    killed.kill()
    killed.communicate()
    both = [project.start("experiment", path, "--jobs", "1", "--page", f"page{number}") for number in (1, 2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    counts = [int(re.search(r"6 pieces of work, (\d) of them now", one)[1]) for one in told]
    assert min(counts) > 0 and sum(counts) == 6, told
    assert not list((project.folder / ".qstar" / "store" / "experiments" / "claims").glob("*.json"))
    pages = [(project.folder / f"page{number}" / "EXPERIMENTS.md").read_text() for number in (1, 2)]
    assert pages[0] == pages[1]


@pytest.mark.slow
def test_after_a_kill_it_goes_on_with_what_is_left(project: Project) -> None:
    path = written(project.folder, arms=["gold"], seeds=[1, 2, 3, 4])
    process = project.start("experiment", path, "--jobs", "1")
    while not records(project.folder):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # alone, so that its workers have to see it themselves
    process.communicate()
    done = {one.name: one.read_bytes() for one in records(project.folder)}
    psutil.wait_procs(workers, timeout=30)
    assert not [one for one in workers if one.is_running() and "loky" in " ".join(one.cmdline())], "no worker is left"
    left = 4 - len(done)  # one more than was seen may have been done meanwhile
    assert 0 < left < 4
    assert f"4 pieces of work, {left} of them now" in project.run("experiment", path, "--jobs", "2").stdout
    after = {one.name: one.read_bytes() for one in records(project.folder)}
    assert len(after) == 4 and done.items() <= after.items()
