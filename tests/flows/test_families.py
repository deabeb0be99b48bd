"""The real command over a file of each dataset family, found by its path alone, ends in a version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstar_core.gate.judge import CHECKS
from tests.flows.project import Project
from tests.sources.test_families import FAMILIES, FIXTURES
from tests.stages.test_families import write_byte_checkpoint


@pytest.fixture(scope="module")
def byte_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return write_byte_checkpoint(folder / "student", 1), write_byte_checkpoint(folder / "teacher", 2)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_refresh_over_a_family_ends_in_a_version(project: Project, byte_pair: tuple[Path, Path], family: str) -> None:
    student, teacher = map(str, byte_pair)
    done = project.run("refresh", "--source.path", str(FIXTURES / f"{family}.jsonl"), "--student.model", student,
                       "--teacher.model", teacher, "--filters", "[]", "--gate.warn_only", json.dumps(list(CHECKS)),
                       "--sampling.max_tokens", "4", "--sampling.draws", "1")
    schema, reasons, _ = FAMILIES[family]
    manifest = project.manifest()
    assert all(f"{count} {reason}" in done.stderr for reason, count in reasons.items())
    assert f"  schema   {schema}, by the columns" in done.stderr and project.latest() in done.stdout
    assert manifest["funnel"][0]["entered"] == 20 and manifest["funnel"][0]["dropped"] == reasons
    assert manifest["rows"] == len(project.rows("data/data.jsonl")) == 20 - sum(reasons.values())
