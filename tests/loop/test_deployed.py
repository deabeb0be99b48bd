"""A loop that the server began and whose process is killed is taken up by `reconcile`, step by step, and finishes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstar_core.loop.book import Book
from qstar_core.records import ModelRef
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import holder_of
from tests.evaluation.conftest import damaged, tiny
from tests.flows.project import ProjectHere
from tests.flows.test_catalogue import call
from tests.flows.test_nights import runs, until
from tests.loop.small import LINE
from tests.loop.test_flow import plain, written

__all__ = ["damaged", "tiny"]
POOL = "looping"


def kill(book: Book, when: Callable[[], Any], but: int | None = None) -> int:
    """The process of the loop, where it is not one that was killed before."""

    def working() -> int | None:
        holder = holder_of(book.store, book.lease_key)
        at_work = holder is not None and not holder.released and not holder.dead and holder.pid != but
        return holder.pid if holder is not None and at_work and when() else None

    pid: int = until(working)
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.slow
def test_a_deployed_loop_that_is_killed_twice_is_taken_up_and_finishes(here: ProjectHere, damaged: ModelRef,
                                                                       api_url: str) -> None:
    path = written(here, **{"student.model": damaged.path, "dataset": POOL, "loop.rounds": 1, "operations.pool": POOL})
    here = replace(here, env={**here.env, **plain(here), "PREFECT_WORKER_QUERY_SECONDS": "1"})
    book = Book(DirectoryStore(here.store), LINE, "1")
    steps, ledger = here.store / "loops" / LINE / "1", here.dataset(POOL) / "rounds"
    with here.servers_stopped():
        here.run("up", "--config", path)
        deployment = call(f"{api_url}/deployments/name/loop/{POOL}", method="GET")
        call(f"{api_url}/deployments/{deployment['id']}/create_flow_run")
        first = kill(book, lambda: list(ledger.glob("*/*/begun/shard-*.json")))
        kill(book, lambda: (steps / "0001-refresh.json").exists(), but=first)
        made = made_at(steps)
        assert "0001-conclude.json" not in made
        until(lambda: (steps / "0001-conclude.json").exists())
        states = until(lambda: ended(api_url))
    assert states == ["Completed", "Crashed", "Crashed"]
    assert {name: at for name, at in made_at(steps).items() if name in made} == made, "no step is done twice"
    assert len(book.rounds()) == 1 and book.rounds()[0].promoted
    assert (steps / "loop.html").exists() and len(list(here.dataset(POOL).glob("versions/*"))) == 1


def made_at(steps: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in steps.glob("0001-*.json")}


def ended(api_url: str) -> list[str] | None:
    """The states of the loop's runs, once none is at work or waits."""
    states = sorted(run["state_name"] for run in runs(api_url, f"loop/{POOL}"))
    return states if {*states} <= {"Completed", "Crashed", "Failed", "Cancelled"} else None
