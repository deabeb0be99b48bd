"""The demo with real weights: SmolLM2-135M as its own teacher keeps rows with right answers."""

from __future__ import annotations

import pytest

from tests.flows.project import Project


@pytest.mark.slow
def test_smollm2_teaches_itself(project: Project) -> None:
    for name in [name for name in project.env if name.startswith("QSTAR__")]:
        del project.env[name]
    project.run("demo", "--model", "smollm2", "--round.prompts", "8", "--round.shard_size", "16", timeout_s=1200)
    rows = project.rows("data/data.jsonl", name="demo-smollm2")
    manifest = project.manifest(name="demo-smollm2")
    assert rows and all(row["answer"] in row["messages"][-1]["content"] for row in rows)
    assert manifest["models"]["student"]["sha256"] == manifest["models"]["teacher"]["sha256"]
