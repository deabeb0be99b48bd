"""`qstar loop` as a user runs it: the steps as flows of a real server, its page, and the lines it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.loop.students import following
from qstar_core.records import Checkpoint, DatasetVersion, ModelRef
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import lease
from tests.evaluation.conftest import damaged, tiny
from tests.flows.project import ProjectHere
from tests.loop.small import LINE, SMALL, settings

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


def test_a_checkpoint_that_an_event_made_is_taken_only_from_the_same_student(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: ModelRef) -> None:
    from flows import loop as flow

    workspace = Workspace(following(settings(student__model=tiny.path)), DirectoryStore(tmp_path / "store"))
    version = DatasetVersion(dataset="d", version="1-aa", uri="u", manifest_sha256="m", rows=1)
    ours, others = (Checkpoint(uri="c", sha256="c", parents=(one,)) for one in (tiny.sha256, "another"))
    for found, asked in ((ours, [False]), (others, [False, True])):
        again: list[bool] = []
        monkeypatch.setattr(flow, "retrain", _Retrain(again, found, ours))
        assert flow._doers(workspace).retrain(version) == ours and again == asked


class _Retrain:
    """Stands for the flow: what is there already, or a new one."""

    def __init__(self, asked: list[bool], there: Checkpoint, new: Checkpoint) -> None:
        self._asked, self._there, self._new = asked, there, new

    def __call__(self, wanted: Settings, data: str, again: bool) -> Checkpoint:
        self._asked.append(again)
        return self._new if again else self._there


def test_the_ready_settings_are_those_of_the_demonstration() -> None:
    wanted = load_settings(find_config("loop"))
    assert wanted.student.model == "latest" and wanted.loop.rounds >= 3 and wanted.training is not None
    assert {one.role.value for one in wanted.evaluation.sets} == {"target", "guard", "report"}
    assert wanted.round.prompts * 4 == 4096, "four rounds of new problems"
    assert Path(find_config("loop") or "").name == "loop.yaml"
