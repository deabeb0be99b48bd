"""`qstar analyze` as a user runs it: a version by name is the version as a folder."""

from __future__ import annotations

import json
from pathlib import Path

from tests.flows.project import Project


def test_a_version_by_its_name_is_the_version_in_its_folder(undisturbed: Project, tmp_path: Path) -> None:
    told = undisturbed.run("analyze", "latest", str(undisturbed.version()), "--out", str(tmp_path)).stdout
    found = json.loads((tmp_path / "analysis.json").read_text())
    by_name, by_folder = ((file["columns"], file["rows"], tokens["tokens"])
                          for file, tokens in zip(found["files"], found["tokens"], strict=True))
    assert by_name == by_folder and "alpha_mean in [0.2, 0.8]" in told
    assert all((tmp_path / name).stat().st_size for name in found["figures"])
    line = undisturbed.refused("analyze", "no-such-version", "--out", str(tmp_path), code=6)
    assert "no-such-version" in line
