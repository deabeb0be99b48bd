"""The catalogue on a real server: applied twice it changes nothing, what is gone from it goes, what a person paused
stays paused; its schedules, forms and file.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as Served

from flows.catalogue import entries
from flows.catalogue.deploying import desired, schedule_of
from flows.catalogue.document import document
from flows.catalogue.entries import catalogue
from flows.catalogue.specs import NotifySpec
from flows.parameters import as_parameter
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.operations import OperationsSettings
from tasks.watching import AWAITS_APPROVAL, WAITS
from tests.flows.project import ProjectHere

REPOSITORY = Path(__file__).parents[2]


def changes(told: str) -> dict[str, list[str]]:
    """Items by what became of them."""
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        change, _, rest = line.strip().partition(" ")
        if change in ("created", "changed", "unchanged", "removed"):
            found.setdefault(change, []).append(rest.strip())
    return found


def call(url: str, body: Any = None, method: str = "POST") -> Any:
    """Tried again where SQLite is locked, as Prefect's own client does."""
    data = None if method == "GET" else json.dumps(body or {}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    for left in range(9, -1, -1):
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text = reply.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code != 503 or not left:
                raise
            time.sleep(1)
    return None


def test_applied_twice_it_changes_nothing_and_drift_is_mended(here: ProjectHere, api_url: str,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--dataset", "twice", "--operations.pool", "twice", "--training", "{recipe: sft}")
    assert changes(here.run("deploy", "--dry-run", *flags).stdout).keys() == {"created"}
    first = changes(here.run("deploy", *flags).stdout)
    assert first.keys() == {"created"} and len(first["created"]) == 2 + 7 + 4
    again = changes(here.run("deploy", *flags).stdout)
    assert again.keys() == {"unchanged"} and len(again["unchanged"]) == len(first["created"])

    night = call(f"{api_url}/deployments/name/refresh/twice", method="GET")
    schedule = night["schedules"][0]
    assert (schedule["slug"], schedule["schedule"]["cron"]) == ("nightly", "0 2 * * *")
    assert night["global_concurrency_limit"]["limit"] == 1
    assert night["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert call(f"{api_url}/work_pools/twice-gpu", method="GET")["concurrency_limit"] == 1
    call(f"{api_url}/deployments/{night['id']}/schedules/{schedule['id']}", {"active": False}, "PATCH")
    call(f"{api_url}/work_pools/twice-gpu", {"concurrency_limit": 5}, "PATCH")
    changed = changes(here.run("deploy", *flags, "--operations.cron", "30 3 * * *").stdout)["changed"]
    assert any("twice-gpu" in item and "limit" in item for item in changed)
    assert ["refresh/twice" in item for item in changed if "schedules" in item] == [True]
    schedule = call(f"{api_url}/deployments/name/refresh/twice", method="GET")["schedules"][0]
    assert schedule["schedule"]["cron"] == "30 3 * * *" and not schedule["active"], "paused by a person, and still"

    monkeypatch.setattr(entries, "ENTRIES", tuple(e for e in entries.ENTRIES if e.flow != "publish-approved"))
    gone = changes(here.run("deploy", "--dataset", "twice", "--operations.pool", "twice").stdout)["removed"]
    assert any("publish-approved/twice" in item for item in gone) and any("train on what" in item for item in gone)
    names = {(found["name"]) for found in call(f"{api_url}/automations/filter")}
    assert "qstar twice: resume what crashed" in names and "qstar twice: train on what was published" not in names


def test_a_run_that_awaits_approval_has_ended_and_a_person_is_told() -> None:
    found = {spec.name: spec for spec in catalogue(load_settings(flags={"operations.notify": "x/y"})).automations}
    for watch in ("runs without a heartbeat", "runs that never began"):
        name = next(name for name in found if watch in name)
        assert f"prefect.flow-run.{AWAITS_APPROVAL}" in found[name].expect, "else it would be marked as crashed"
    waits = next(spec for spec in found.values() if WAITS in spec.expect)
    assert isinstance(waits.action, NotifySpec) and "waits for a person" in waits.action.subject


def test_another_datasets_items_are_left_alone(here: ProjectHere, api_url: str) -> None:
    for dataset in ("one", "two"):
        assert "removed" not in changes(here.run("deploy", "--dataset", dataset).stdout)
    assert changes(here.run("deploy", "--dataset", "one").stdout).keys() == {"unchanged"}
    assert call(f"{api_url}/deployments/name/refresh/two", method="GET")["parameters"]["settings"]["dataset"] == "two"


@pytest.mark.parametrize(("flags", "told"), [
    (("--operations.cron", "99 2 * * *"), "operations.cron"),
    (("--operations.time_zone", "Mars/Olympus"), "operations.time_zone"),
    (("--operations.notify", "slack-webhook/none"), "has no block"),
])
def test_what_cannot_be_applied_is_told_in_one_line(here: ProjectHere, flags: tuple[str, ...], told: str) -> None:
    assert told in here.refused("deploy", "--dry-run", *flags, code=2)


def test_the_file_is_made_from_the_catalogue() -> None:
    made = document(Settings())
    assert made == (REPOSITORY / "infra" / "prefect.yaml").read_text(encoding="utf-8"), \
        "run: qstar deploy --write infra/prefect.yaml"


def nights(time_zone: str, start: str, count: int) -> list[datetime]:
    spec = catalogue(Settings(operations=OperationsSettings(cron="30 2 * * *", time_zone=time_zone))).deployments[0]
    assert spec.schedule is not None
    schedule = schedule_of(spec.schedule)
    assert isinstance(schedule, CronSchedule)
    served = Served.model_validate(schedule.model_dump())
    return [datetime.fromtimestamp(moment.timestamp(), UTC) for moment in
            asyncio.run(served.get_dates(n=count, start=datetime.fromisoformat(start)))]


@pytest.mark.parametrize("start", ["2026-03-27T12:00:00+01:00", "2026-10-23T12:00:00+02:00"])
def test_every_night_comes_once_across_a_change_of_the_clocks(start: str) -> None:
    """Half past two does not exist in Berlin on 29 March, and exists twice on 25 October."""
    found = nights("Europe/Berlin", start, 4)
    apart = {later - earlier for earlier, later in pairwise(found)}
    assert len(apart) == 2 and apart < {timedelta(hours=hours) for hours in (23, 24, 25)}
    rounds = [moment.astimezone(ZoneInfo("Europe/Berlin")).date() for moment in found]
    assert {later - earlier for earlier, later in pairwise(rounds)} == {timedelta(days=1)}, "each has a name of its own"


def test_forms_take_what_they_offer_and_refuse_the_rest() -> None:
    settings = load_settings(flags={"dataset": "form", "training": {"recipe": "sft"}, "gate.ess_ratio.low": 0.85})
    assert Settings.model_validate(as_parameter(settings)) == settings
    for spec in catalogue(settings).deployments:
        form = desired(spec, "tag").form
        assert form["type"] == "object" and "settings" in form["properties"], spec.flow
        assert "SamplingSettings" in form["definitions"] and form["definitions"]["SamplingSettings"]["properties"]
        schema = {**form, "definitions": form["definitions"]}
        required = dict.fromkeys(form.get("required", ()), "x")
        jsonschema.validate({**required, **desired(spec, "tag").parameters}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**required, "settings": {"sampling": {"temperature": "hot"}}}, schema)
