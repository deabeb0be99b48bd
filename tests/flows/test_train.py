"""`qstar train` as a user runs it: a checkpoint in the store, curves on the server, nothing promoted."""

from __future__ import annotations

import json
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.flows.project import ProjectHere
from tests.training.runs import completions

SHORT = ("--set", "max_steps=3", "--set", "batch_size=8", "--set", "learning_rate=1e-3", "--set", "device=cpu")


def test_a_version_becomes_a_checkpoint_with_curves_and_is_not_promoted(here: ProjectHere) -> None:
    here.run("demo")
    told = here.run("train", "--config", "tiny", "--line", "night", *SHORT)
    lines = dict(line.split(maxsplit=1) for line in told.stdout.splitlines() if line and not line.startswith("Flow"))
    line, checkpoint = lines["Checkpoint"].split()
    (record,) = here.store.glob("checkpoints/*/*/checkpoint.json")
    assert record.parent.name == checkpoint and line == record.parent.parent.name == "night"
    found = json.loads(record.read_text())
    assert found["dataset_version"] == f"demo {here.latest()}" and found["settings"]["max_steps"] == 3
    assert not (here.store / "students").exists()
    assert list((here.folder / ".qstar" / "tensorboard").rglob("events.*"))
    with temporary_settings({PREFECT_API_URL: here.env["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_latest_artifacts(limit=200)}
    assert {"night-training-progress", "night-training-curves", "night-training-checkpoint"} <= keys


def test_a_mistake_is_one_line_and_its_own_exit_code(here: ProjectHere, tmp_path: Path) -> None:
    assert "TRL has no PPO trainer" in here.refused("train", "--recipe", "ppo", code=2)
    assert here.refused("train", "--set", "rate", code=2).startswith("--set 'rate' is no NAME=VALUE")
    assert "unknown setting training.sft.rate" in here.refused("train", "--set", "rate=1", code=2)
    assert "qlora" in here.refused("train", "--set", "peft.kind=qlora", "--set", "device=cpu", code=2)
    rows = completions(tmp_path / "rows")
    (rows / "train.jsonl").write_text("")
    assert "has no rows to learn from" in here.refused("train", "--data", str(rows), *SHORT, code=3)
    completions(rows)
    failed = here.refused("train", "--data", str(rows), *SHORT, "--set", "max_steps=30", "--set", "learning_rate=1.0",
                          "--set", "clip=1e30", "--set", "weight_decay=1e30", code=10)
    assert "is nan at step" in failed and "lower training.learning_rate" in failed
