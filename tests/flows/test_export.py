"""`qstar export` as a user runs it: a folder, a push, and one line where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from datasets import load_dataset

from tests.exports.hub import TOKEN, hub
from tests.flows.project import Project


def test_a_version_is_exported_pushed_and_not_overwritten(undisturbed: Project, tmp_path: Path) -> None:
    version, out = undisturbed.latest(), tmp_path / "rows"
    with hub() as standin:
        told = undisturbed.run("export", str(undisturbed.version()), "--to", "trl-kto", "--out", str(out), "--push",
                               "me/rows", "--validation", "0.2", HF_ENDPOINT=standin.address, HF_TOKEN=TOKEN)
    assert f"Version  demo {version}" in told.stdout and f"{standin.address}/datasets/me/rows" in told.stdout
    assert TOKEN not in told.stdout + told.stderr and standin.created[0]["name"] == "rows"
    rows = load_dataset(str(out))
    assert {name: len(split) for name, split in rows.items()} == json.loads((out / "export.json").read_text())["rows"]
    assert set(standin.files) >= {"README.md", "kto.yaml", "export.json"}
    line = undisturbed.refused("export", "--to", "trl-sft", "--out", str(out), code=2)
    assert line == f"{out} is there already — name another folder with --out, or add --overwrite"
