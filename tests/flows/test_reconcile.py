"""`reconcile` on a real server: a loop that a deployment began and whose process died is begun again, once; what a
person began is left to that person.
"""

from __future__ import annotations

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.reconcile import reconcile
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import CrashLoopError
from qstar_core.loop.book import Book
from qstar_core.stages.crashes import crashes_counted
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from tests.flows.project import ProjectHere
from tests.flows.test_catalogue import call
from tests.flows.test_nights import runs
from tests.loop.test_unfinished import died


def reconciled(here: ProjectHere, settings: Settings) -> int:
    with temporary_settings({PREFECT_API_URL: here.env["PREFECT_API_URL"]}):
        return reconcile(settings)


def test_a_deployed_loop_that_died_goes_on_once(here: ProjectHere, api_url: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", here.env["QSTAR_HOME"])
    flags = {"dataset": "looped", "operations.pool": "looped", "student.line": "looped", "store.uri": str(here.store)}
    settings = load_settings(flags=flags)
    here.run("deploy", *(word for name, value in flags.items() for word in (f"--{name}", value)))
    book = Book(DirectoryStore(here.store), "looped", "seven")
    died(book, run="00000000-0000-0000-0000-000000000000")
    assert reconciled(here, settings) == 0 and not runs(api_url, "loop/looped"), "a person began it"
    told = here.run("status", "--dataset", "looped", QSTAR__STUDENT__LINE="looped").stdout
    assert "loop seven of line looped crashed or was interrupted in round 1" in told

    deployment = call(f"{api_url}/deployments/name/loop/looped", method="GET")
    first = call(f"{api_url}/deployments/{deployment['id']}/create_flow_run",
                 {"parameters": {**deployment["parameters"], "name": "seven"}})
    died(book, run=first["id"])
    assert reconciled(here, settings) == 1 and reconciled(here, settings) == 1
    again = [run for run in runs(api_url, "loop/looped") if run["id"] != first["id"]]
    assert len(again) == 1 and again[0]["parameters"]["name"] == "seven"
    assert again[0]["parameters"]["settings"] == deployment["parameters"]["settings"]
    dead = call(f"{api_url}/flow_runs/{first['id']}", method="GET")
    assert dead["state_type"] == "CRASHED", "the server took it for one that is to come"

    for state in ("CANCELLING", "CRASHED"):  # the wish of a person, then what the process said of its end
        call(f"{api_url}/flow_runs/{again[0]['id']}/set_state", {"state": {"type": state}, "force": True})
    died(book, run=again[0]["id"])
    assert reconciled(here, settings) == 0 and len(runs(api_url, "loop/looped")) == 2, "a person cancelled it"


def test_a_loop_that_dies_again_and_again_is_given_up(here: ProjectHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", here.env["QSTAR_HOME"])
    settings = load_settings(flags={"store.uri": str(here.store), "student.line": "dying"})
    workspace = Workspace.open(settings)
    book = Book(workspace.store, "dying", "1")
    entered = [crashes_counted(workspace, book.key, "the loop", book.steps) for _ in range(3)]
    for one in entered:
        one.__enter__()
    from flows import loop as flow

    told: list[str] = []
    monkeypatch.setattr(flow, "announce", lambda *_, problem, **__: told.append(problem))
    with pytest.raises(CrashLoopError, match=r"the loop of loops/dying/1 ended its process 3 times"), \
            flow._counted(workspace, book):
        raise AssertionError("begun once more")
    assert len(told) == 1 and book.rounds() == ()
