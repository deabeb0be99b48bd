"""A reward model, and RLHF from end to end, by the real command on a real Prefect server."""

from __future__ import annotations

import json

from tests.flows.project import ProjectHere

_FEW = {"QSTAR__REWARD__MAX_STEPS": "2", "QSTAR__REWARD__LIMIT": "80", "QSTAR__REWARD__VALIDATION": "0.5",
        "QSTAR__REWARD__MAX_LENGTH": "128"}


def test_rlhf_runs_from_a_version_to_a_rewarded_student(here: ProjectHere) -> None:
    here.run("demo")
    told = here.run("rlhf", "--set", "sft.max_steps=2", "--set", "policy.max_steps=1", "--set",
                    "policy.max_new_tokens=8", "--set", "policy.batch_size=8", **_FEW).stdout
    assert "Checkpoint       default" in told
    made = {record.parent.parent.name: [] for record in here.store.glob("checkpoints/*/*/checkpoint.json")}
    for record in here.store.glob("checkpoints/*/*/checkpoint.json"):
        made[record.parent.parent.name].append(json.loads(record.read_text()))
    by_recipe = {one["recipe"]: one for records in made.values() for one in records}
    assert set(by_recipe) == {"sft", "reward", "grpo"} and set(made) == {"default", "reward"}
    assert by_recipe["reward"]["parents"] == by_recipe["grpo"]["parents"] == [by_recipe["sft"]["sha256"]]
    assert not (here.store / "students").exists(), "nothing is promoted"
    scored = here.run("reward", "report", "store:reward", "--pairs", "builtin:corruptions", "--limit", "40").stdout
    assert "Calibration" in scored
