"""The project's server on Postgres: a whole round, and its history in a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.serve import _environment
from tests.flows.project import Project
from tests.infra.conftest import Postgres
from tests.infra.test_backup import backup


@pytest.mark.parametrize("name", ["PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"])
def test_the_database_of_the_environment_is_taken_and_sqlite_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                                      name: str) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    for other in ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.delenv(other, raising=False)
    assert _environment()["PREFECT_API_DATABASE_CONNECTION_URL"].startswith(f"sqlite+aiosqlite:///{tmp_path}")
    monkeypatch.setenv(name, "postgresql+asyncpg://u@h/d")
    assert _environment()["PREFECT_API_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u@h/d"


@pytest.mark.slow
def test_a_round_runs_on_a_server_with_postgres_and_its_history_survives_a_restore(
        postgres: Postgres, tmp_path: Path, model_cache: Path) -> None:
    url, path = postgres.new_database("history"), str(postgres.programs)
    project = Project.make(tmp_path / "project", model_cache, None, PREFECT_API_DATABASE_CONNECTION_URL=url)
    with project.servers_stopped():
        project.run("demo")
    asked = "select count(*) from flow_run where name = 'demo round 1' and state_type = 'COMPLETED'"
    assert postgres.ask("history", asked) == "1"
    assert project.manifest()["rows"] > 0
    assert not list((project.folder / ".qstar").rglob("prefect.db")), "nothing went to SQLite"
    other, file = postgres.new_database("restored"), tmp_path / "saved"
    assert backup(url, "save", file, path).returncode == 0
    assert backup(other, "restore", file, path).returncode == 0
    assert postgres.ask("restored", asked) == "1"
    again = Project(project.folder, {**project.env, "PREFECT_API_DATABASE_CONNECTION_URL": other})
    with again.servers_stopped():
        assert "is published already" in again.run("demo").stderr
