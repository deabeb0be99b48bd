"""A version with warnings waits, and a person lets it pass: on the command line, in the form of a run, or by resuming a
paused one. What a round leaves on the server is the same under keys that stay."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from tests.flows.project import Project

WARNS = {"QSTAR__GATE__MIN_ROWS": "1000", "QSTAR__GATE__WARN_ONLY": "[row count]", "QSTAR__GATE__ON_WARN": "approve"}
FLOW = """
import sys
from flows.publish_approved import ApprovalForm, publish_approved
from qstar_core.errors import QstarError
form = ApprovalForm(approved_by=sys.argv[2], comment="form") if len(sys.argv) > 2 else None
try:
    print(publish_approved(sys.argv[1], approval=form, wait_s=120).version)
except QstarError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def flow(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FLOW, *arguments], cwd=project.folder, env=project.env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def paused_run(api_url: str, name: str) -> str:
    wanted = {"flow_runs": {"name": {"any_": [name]}, "state": {"type": {"any_": ["PAUSED"]}}}}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = post(f"{api_url}/flow_runs/filter", wanted)
        if found:
            return str(found[0]["id"])
        time.sleep(0.5)
    raise AssertionError(f"{name} did not pause")


def run_that_waits(api_url: str, version: str) -> dict[str, Any]:
    found = post(f"{api_url}/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 20})
    return next(run for run in found if version in ((run["state"] or {}).get("message") or ""))


def staged(project: Project, round_name: str) -> str:
    line = project.refused("demo", "--round", round_name, code=9, **WARNS)
    assert "waits for a person" in line and "row count" in line and "qstar datasets approve" in line
    return next((project.dataset() / "staged").glob(f"{round_name}-*")).name


def test_a_waiting_version_is_published_when_a_person_resumes_the_run(here: Project, api_url: str) -> None:
    version = staged(here, "1")
    assert not (here.dataset() / "latest.json").exists()
    ended = run_that_waits(api_url, version)
    assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "AwaitingApproval")
    told = post(f"{api_url}/logs/filter", {"logs": {"flow_run_id": {"any_": [ended["id"]]}, "level": {"ge_": 40}}})
    assert told == [], "nothing failed"
    keys = {artifact["key"]: artifact for artifact in post(f"{api_url}/artifacts/latest/filter", {})}
    assert version in keys["demo-approval"]["data"] and "qstar datasets approve" in keys["demo-approval"]["data"]
    waiting = flow(here, version)
    run = paused_run(api_url, f"publish {version}")
    assert not (here.dataset() / "latest.json").exists()
    post(f"{api_url}/flow_runs/{run}/resume", {"run_input": {"approved_by": "joan", "comment": "resumed"}})
    out, err = waiting.communicate(timeout=200)
    assert version in out, err
    assert here.latest() == version and here.manifest()["approval"]["comment"] == "resumed"


@pytest.mark.slow
def test_a_version_passes_on_the_command_line_and_by_the_form_of_a_run(here: Project) -> None:
    version = staged(here, "1")
    told = here.run("datasets", "approve", version, "--by", "ada", "--comment", "by hand").stdout
    assert "approved by ada" in told and here.latest() == version
    assert here.manifest()["approval"]["comment"] == "by hand"
    assert "published already" in here.run("datasets", "approve", version, "--by", "ada").stdout
    second = staged(here, "2")
    out, err = flow(here, second, "grace").communicate(timeout=200)
    assert second in out, err
    assert here.latest() == second and here.manifest()["approval"]["by"] == "grace"


@pytest.mark.slow
def test_what_the_gate_refused_is_not_even_asked_about(here: Project) -> None:
    here.refused("demo", code=7, QSTAR__GATE__MIN_ROWS="1000")
    version = next((here.dataset() / "staged").iterdir()).name
    assert "cannot be approved" in here.refused("datasets", "approve", version, "--by", "ada", code=7)
    assert "there are: " + version in here.refused("datasets", "approve", "x-12345678", "--by", "ada", code=6)
    _, err = flow(here, version).communicate(timeout=200)
    assert "GateFailedError" in err and "cannot be approved" in err


WHAT = ("funnel", "gate", "figures", "report", "data-docs", "alpha", "ess-ratio", "kl", "alpha-by-position")


def artifacts(api_url: str, dataset: str, what: str) -> list[dict[str, Any]]:
    found = post(f"{api_url}/artifacts/filter", {"artifacts": {"key": {"any_": [f"{dataset}-{what}"]}}})
    return list(found)


def test_artifacts_tell_the_numbers_of_the_version(undisturbed: Project, api_url: str) -> None:
    manifest = undisturbed.manifest()
    found = {what: next(a["data"] for a in artifacts(api_url, "demo", what) if manifest["version"] in a["description"])
             for what in WHAT}
    assert [(row["check"], row["verdict"]) for row in json.loads(found["gate"])] == [
        (check["name"], check["verdict"]) for check in manifest["gate"]["checks"]]
    assert [(row["stage"], row["kept"]) for row in json.loads(found["funnel"])] == [
        (step["stage"], step["kept"]) for step in manifest["funnel"]]
    assert all(found[what].startswith("data:image/svg+xml;base64,") for what in WHAT[5:])
    assert found["data-docs"].count("/data-docs/") == 4 and "data-docs/traces.html" in found["data-docs"]


@pytest.mark.slow
def test_the_history_of_a_key_has_every_version(here: Project, api_url: str) -> None:
    name = "artifacts.test_1"
    for round_name in ("1", "2"):
        here.run("demo", "--round", round_name, "--dataset", name)
    assert {what: len(artifacts(api_url, "artifacts-test-1", what)) for what in WHAT} == dict.fromkeys(WHAT, 2)
    manifest = here.manifest(name=name)
    assert manifest["gate"]["previous"] == manifest["parents"][0]
