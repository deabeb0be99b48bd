"""Nights on a real worker: a killed one is taken up by the automation and ends like an undisturbed one, a poisoned
shard stops the loop and is named, and of two nights at once the second is cancelled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qstar_core.stages.workspace import today
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import holder_of
from tests.flows.project import Project
from tests.flows.test_catalogue import call
from tests.flows.test_kill import FILES


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, model_cache: Path, api_url: str) -> Iterator[Project]:
    """A project whose workers run its deployments."""
    project = Project.make(tmp_path_factory.mktemp("worked"), model_cache, api_url, QSTAR__OPERATIONS__POOL="worked",
                           QSTAR__OPERATIONS__MAX_CRASHES="2", PREFECT_WORKER_QUERY_SECONDS="1")
    with project.servers_stopped():
        project.run("up", "--config", "tiny")
        yield project


def begin(api_url: str, dataset: str, **parameters: Any) -> dict[str, Any]:
    deployment = call(f"{api_url}/deployments/name/refresh/{dataset}", method="GET")
    whole = {**deployment["parameters"], **parameters}
    return call(f"{api_url}/deployments/{deployment['id']}/create_flow_run", {"parameters": whole})


def runs(api_url: str, deployment: str) -> list[dict[str, Any]]:
    found = call(f"{api_url}/deployments/name/{deployment}", method="GET")
    return call(f"{api_url}/flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [found["id"]]}}})


def until(true: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come")


def process_of(project: Project, dataset: str, round_name: str) -> int | None:
    """The living process that works on the round, once it has row checkpoints."""
    folder = project.dataset(dataset) / "rounds" / round_name
    holder = holder_of(DirectoryStore(project.store), f"datasets/{dataset}/rounds/{round_name}/lease.json")
    if holder is None or holder.released or holder.dead or not list(folder.glob("*/begun/shard-*.json")):
        return None
    return holder.pid


@pytest.mark.slow
def test_a_killed_night_is_taken_up_and_ends_like_an_undisturbed_one(worked: Project, undisturbed: Project,
                                                                     api_url: str) -> None:
    begin(api_url, "demo", round_name="1")
    os.kill(until(lambda: process_of(worked, "demo", "1")), signal.SIGKILL)
    until(lambda: (worked.dataset() / "latest.json").exists())
    states = until(lambda: _ended(runs(api_url, "refresh/demo"), 2))
    assert sorted(states) == ["Completed", "Crashed"]
    assert worked.latest().partition("-")[0] == "1"
    for file in FILES:
        assert worked.rows(file) == undisturbed.rows(file)


@pytest.mark.slow
def test_a_night_that_dies_again_and_again_is_given_up_and_its_shard_named(worked: Project, api_url: str) -> None:
    worked.run("deploy", "--dataset", "poisoned", "--round.prompts", "400", "--round.checkpoint_every", "400")
    begin(api_url, "poisoned", round_name="p")
    killed: set[int] = set()
    for _ in range(2):
        pid = until(lambda: (found := process_of(worked, "poisoned", "p")) not in {None, *killed} and found)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)
    states = until(lambda: _ended(runs(api_url, "refresh/poisoned"), 3))
    assert sorted(states) == ["Crashed", "Crashed", "Failed"]
    failed = next(run for run in runs(api_url, "refresh/poisoned") if run["state_name"] == "Failed")
    assert "shard 0" in failed["state"]["message"] and "2 times" in failed["state"]["message"]
    time.sleep(10)
    assert len(runs(api_url, "refresh/poisoned")) == 3, "a run that failed is not taken up"


@pytest.mark.slow
def test_of_two_nights_at_once_the_second_is_cancelled(worked: Project, api_url: str) -> None:
    worked.run("deploy", "--dataset", "overlap", "--round.prompts", "600")
    begin(api_url, "overlap", round_name="a")
    until(lambda: process_of(worked, "overlap", "a"))
    second = begin(api_url, "overlap", round_name="b")
    until(lambda: call(f"{api_url}/flow_runs/{second['id']}", method="GET")["state_name"] == "Cancelled")
    until(lambda: (worked.dataset("overlap") / "latest.json").exists())
    assert worked.latest("overlap").startswith("a-") and not (worked.dataset("overlap") / "rounds" / "b").exists()


@pytest.mark.slow
def test_status_tells_of_workers_runs_and_the_next_night(worked: Project, api_url: str) -> None:
    begin(api_url, "demo")
    until(lambda: (worked.dataset() / "rounds" / today()).exists())
    until(lambda: _ended(runs(api_url, "refresh/demo"), 1))
    told = until(lambda: (text := worked.run("status").stdout) and "02:00 UTC" in text and text, 120)
    assert "worked, worked-gpu" in told and f"demo round {today()}" in told and "pass" in told


def _ended(found: list[dict[str, Any]], count: int) -> list[str] | None:
    """The names of the states, where so many runs have ended."""
    names = [run["state_name"] for run in found if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
    return names if len(names) >= count else None
