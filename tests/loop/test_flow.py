"""`qstar loop` as a user runs it: the steps as flows of a real server, its page, and the lines it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.records import ModelRef
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import lease
from tests.evaluation.conftest import damaged, tiny
from tests.flows.project import ProjectHere
from tests.loop.small import LINE, SMALL

__all__ = ["damaged", "tiny"]


def written(here: ProjectHere, **flags: Any) -> str:
    """The small settings as a user's file."""
    tree: dict[str, Any] = {}
    for name, value in {**SMALL, **flags}.items():
        *parents, leaf = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    (here.folder / "small.yaml").write_text(yaml.safe_dump(tree))
    return "small.yaml"


def plain(here: ProjectHere) -> dict[str, str]:
    """Without the sizes that other tests set by variables."""
    return {name: "" for name in here.env if name.startswith("QSTAR__")}


def test_a_loop_promotes_tells_and_goes_on_and_one_that_does_not_ends_with_11(here: ProjectHere,
                                                                             damaged: ModelRef) -> None:
    path, env = written(here, **{"student.model": damaged.path}), plain(here)
    told = here.run("loop", "--config", path, "--rounds", "1", **env).stdout
    assert "promoted" in told and "McNemar" not in told and "paired permutation" in told
    assert "old student" in told and "teacher" in told and "new student" in told
    page = here.store / "loops" / LINE / "1" / "loop.html"
    assert str(page) in told and "Content-Security-Policy" in page.read_text()
    again = here.run("loop", "--config", path, "--rounds", "1", **env)
    assert again.stdout.splitlines()[:4] == told.splitlines()[:4] and "generate" not in again.stderr
    with temporary_settings({PREFECT_API_URL: here.env["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_latest_artifacts(limit=200)}
    assert {f"{LINE}-loop", f"{LINE}-decision"} <= keys
    records = here.store / "loops" / LINE
    trained = json.loads((records / "1" / "0001-retrain.json").read_text())["checkpoint"]["id"]
    pointer = here.store / "students" / LINE / "latest.json"
    assert json.loads(pointer.read_text())["id"] == trained

    harmful = written(here, training={**SMALL["training"], "learning_rate": 0.05})
    said = here.refused("loop", "--config", harmful, "--rounds", "1", "--name", "2", **env, code=11)
    assert said.startswith(f"loop 2 of line {LINE} promoted no student") and "loop.html" in said
    assert json.loads(pointer.read_text())["id"] == trained


def test_mistakes_are_one_line(here: ProjectHere, damaged: ModelRef) -> None:
    path, env = written(here, **{"student.model": damaged.path}), plain(here)
    assert "cannot be a name" in here.refused("loop", "--config", path, "--name", "../x", **env, code=2)
    assert "lacks hedging" in here.refused("loop", "--evaluation.measures", "[accuracy, length]", code=2)
    with lease(DirectoryStore(here.store), f"leases/loop/{LINE}.json", f"loop 7 of line {LINE}"):
        held = here.refused("loop", "--config", path, **env, code=6)
    assert held.startswith(f"line {LINE} is in the hands of loop 7")
    refused = here.refused("loop", "--config", written(here, **{"gate.min_rows": 999, "gate.warn_only": []}), **env,
                           code=7)
    assert "row count" in refused
    assert "row count" in (here.store / "loops" / LINE / "1" / "loop.html").read_text(), "the page says why"


def test_the_ready_settings_are_those_of_the_demonstration() -> None:
    wanted = load_settings(find_config("loop"))
    assert wanted.student.model == "latest" and wanted.loop.rounds >= 3 and wanted.training is not None
    assert {one.role.value for one in wanted.evaluation.sets} == {"target", "guard", "report"}
    assert wanted.round.prompts * 4 == 4096, "four rounds of new problems"
    assert Path(find_config("loop") or "").name == "loop.yaml"
