"""Real checkpoints: a damaged copy never replaces the student, and the student replaces a damaged copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstar_core.checkpoints import save_checkpoint
from qstar_core.errors import ConfigError, IntegrityError, NotPromotedError
from qstar_core.promotion.candidates import candidate, line_of, standing
from qstar_core.promotion.compare import compare
from qstar_core.promotion.decision import Outcome
from qstar_core.promotion.history import history, pointer
from qstar_core.promotion.promote import promote
from qstar_core.store.opening import open_store
from tests.evaluation.small import settings
from tests.flows.project import Project, ProjectHere


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(str(tmp_path_factory.mktemp("store")))


def test_a_damaged_copy_is_refused_and_the_student_is_promoted(store, tiny, damaged, tmp_path, monkeypatch):
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    wanted = settings(**{"student.initial": damaged.path})
    assert standing(wanted, store, tiny).sha256 == damaged.sha256
    assert standing(settings(**{"student.initial": tiny.path, "student.model": "latest"}), store, tiny) is None
    assert standing(settings(**{"student.initial": tiny.path, "student.model": damaged.path}), store, tiny) == damaged
    in_use = settings(**{"student.model": damaged.path})
    assert standing(in_use, store, tiny) == damaged and standing(in_use, store, damaged) is None
    made = save_checkpoint(store, Path(tiny.path), line="default", recipe="none", settings={}, metrics={})
    new, checkpoint = candidate(wanted, store, made.id[:6])
    assert checkpoint == made
    better = compare(wanted, store, standing(wanted, store, new), new, "1")
    assert better.decision.outcome is Outcome.PROMOTE, better.decision.objections
    assert better.kl.value > 0.01
    promote(store, "default", checkpoint, better.decision)
    assert standing(wanted, store, damaged).sha256 == tiny.sha256

    worse, reference = candidate(wanted, store, damaged.path)
    found = compare(wanted, store, standing(wanted, store, worse), worse, "2")
    assert found.suite.hash != better.suite.hash
    assert "stories/accuracy better" in found.decision.objections
    with pytest.raises(NotPromotedError):
        promote(store, "default", reference, found.decision)
    assert pointer(store, "default")[0] == made and len(history(store, "default")) == 1
    with pytest.raises(ConfigError, match="needs a judge"):
        compare(settings(**{"promotion.min_win_rate": 0.5}), store, new, worse, "1")


def test_the_folder_of_a_checkpoint_names_its_line(store, tiny, tmp_path):
    made = save_checkpoint(store, Path(tiny.path), line="night", recipe="none", settings={}, metrics={})
    folder = made.uri.removeprefix("file://")
    assert line_of(folder, "default", asked=False) == line_of(folder, "night", asked=True) == "night"
    with pytest.raises(ConfigError, match=r"checkpoint of line night, and student\.line is default — .*--line night"):
        line_of(folder, "default", asked=True)
    assert line_of(tiny.path, "default", asked=False) == line_of("owner/model", "default", asked=False) == "default"
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(IntegrityError, match="not a checkpoint reference"):
        line_of(str(tmp_path), "default", asked=False)
    (tmp_path / "checkpoint.json").write_text(made.model_copy(update={"line": "../up"}).model_dump_json())
    with pytest.raises(ConfigError, match="cannot be a name"):
        line_of(str(tmp_path), "default", asked=False)


@pytest.fixture
def here(tmp_path, model_cache, monkeypatch, capsys) -> ProjectHere:
    made = Project.make(tmp_path / "project", model_cache, "http://127.0.0.1:9/api", PREFECT_API_URL="http://x")
    values = {name: value for name, value in settings().model_dump(mode="json", exclude_defaults=True).items()
              if name in ("evaluation", "promotion", "engine")}
    values["evaluation"]["measures"] = ["accuracy", "length"]
    values["promotion"]["margins"] |= {"hedging": None, "leaks": None}
    (made.folder / "small.yaml").write_text(json.dumps(values))
    return ProjectHere(made.folder, made.env, monkeypatch, capsys)


def test_the_commands(here: ProjectHere, tiny, damaged):
    lacks = here.refused("students", "promote", tiny.path, "--evaluation.measures", "[accuracy]", code=2)
    assert "lacks hedging" in lacks
    odd = here.refused("students", "promote", tiny.path, "--promotion.measure", "length", code=2)
    assert "neither more nor less" in odd
    twice = here.refused("students", "promote", tiny.path, "--line", "a", "--student.line", "b", code=2)
    assert "--line a and --student.line b differ" in twice
    assert "no students yet" in here.run("students", "list").stdout
    told = here.run("evaluate", "--config", "small.yaml", "--model", tiny.path, "--against", damaged.path,
                    "--round", "1").stdout
    assert "stories/accuracy" in told and "sorting: 60 of" in told
    assert "first" in here.run("students", "promote", tiny.path, "--config", "small.yaml", "--round", "1").stdout
    refused = here.refused("students", "promote", damaged.path, "--config", "small.yaml", "--round", "1", code=11)
    assert "does not replace" in refused and "McNemar" in refused
    assert "go together" in here.refused("students", "promote", damaged.path, "--force", code=2)
    forced = here.run("students", "promote", damaged.path, "--config", "small.yaml", "--round", "1", "--force",
                      "--reason", "[red]a drill[/red]").stdout
    assert "promotion 2 (force)" in forced
    here.run("students", "rollback", "1", "--reason", "drill over")
    shown = here.run("students", "show").stdout
    assert "[red]a drill[/red]" in shown and "rollback" in shown and "decision: keep" in shown
    assert "no promotion 9" in here.refused("students", "rollback", "9", code=6)
    assert f"line default: {tiny.path}" in shown
    assert "default" in here.run("students", "list", "--line", "default").stdout
    assert "no students yet" in here.run("students", "list", "--line", "other").stdout
