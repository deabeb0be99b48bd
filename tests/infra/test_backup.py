"""Backup and restore of the server's database, with real ones: whole, while somebody writes, and never over a file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.infra.conftest import Postgres
from tests.infra.files import INFRA


def backup(url: str, action: str, file: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PREFECT_API_DATABASE_CONNECTION_URL": url, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([sys.executable, INFRA / "backup.py", action, file], env=env, capture_output=True, text=True)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript("pragma journal_mode=wal; create table runs (name text); insert into runs values ('kept');")
    return path


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as found:
        return [row[0] for row in found.execute("select name from runs order by rowid")]


def test_sqlite_is_saved_while_it_is_written_to_and_comes_back(database: Path, tmp_path: Path) -> None:
    url, file = f"sqlite+aiosqlite:///{database}", tmp_path / "saved"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("insert into runs values ('not committed')")
        assert backup(url, "save", file).returncode == 0
        writer.commit()
        writer.execute("insert into runs values ('later')")
        writer.commit()
        assert database.with_name("prefect.db-wal").exists()
    assert names(file) == ["kept"] and file.stat().st_mode & 0o777 == 0o600
    assert names(database) == ["kept", "not committed", "later"]
    assert backup(url, "restore", file).returncode == 0
    assert names(database) == ["kept"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prefect.db", "saved"]


def test_what_an_unclean_end_left_beside_the_database_does_not_come_back(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    url = f"sqlite+aiosqlite:///{database}"
    assert backup(url, "save", file).returncode == 0
    program = ("import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]); "
               "d.execute(\"insert into runs values ('lost')\"); d.commit(); os._exit(9)")
    subprocess.run([sys.executable, "-c", program, database], check=False)
    assert database.with_name("prefect.db-wal").stat().st_size
    assert backup(url, "restore", file).returncode == 0
    assert names(database) == ["kept"]


def test_a_backup_is_never_overwritten_and_nothing_half_written_stays(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    file.write_text("an older one")
    done = backup(f"sqlite+aiosqlite:///{database}", "save", file)
    assert done.returncode and "is there already" in done.stderr and file.read_text() == "an older one"
    done = backup(f"sqlite+aiosqlite:///{tmp_path / 'none.db'}", "save", tmp_path / "other")
    assert done.returncode and "there is no" in done.stderr
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob("*.part"))


def test_a_damaged_backup_is_refused_and_the_database_stays(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    file.write_bytes(b"SQLite format 3\0" + bytes(5000))
    done = backup(f"sqlite+aiosqlite:///{database}", "restore", file)
    assert done.returncode and "Traceback" not in done.stderr
    assert names(database) == ["kept"]


def test_wrong_use_is_told_in_one_line_without_the_address(tmp_path: Path) -> None:
    for url, action in (("mysql://u:hunter2@h/d", "save"), ("", "save"), ("sqlite+aiosqlite:///x", "drop"),
                        ("postgresql+asyncpg://u:hunter2@127.0.0.1:9/d", "save")):
        done = backup(url, action, tmp_path / "file")
        assert done.returncode and "Traceback" not in done.stderr and "hunter2" not in done.stderr + done.stdout
        assert "backup: " in done.stderr and not (tmp_path / "file").exists()


def test_postgres_is_saved_and_restored_over_what_came_after(postgres: Postgres, tmp_path: Path) -> None:
    url, file, path = postgres.new_database("saving"), tmp_path / "saved", str(postgres.programs)
    postgres.ask("saving", "create extension pg_trgm; create table runs (name text); insert into runs values ('kept'); "
                           "select 1")
    assert backup(url, "save", file, path).returncode == 0
    postgres.ask("saving", "insert into runs values ('later'); select 1")
    done = backup(url, "restore", file, path)
    assert done.returncode == 0, done.stderr
    assert postgres.ask("saving", "select string_agg(name, ',') from runs") == "kept"
    file.write_bytes(file.read_bytes()[:-40])
    assert backup(url, "restore", file, path).returncode
    assert postgres.ask("saving", "select string_agg(name, ',') from runs") == "kept", "all of it or nothing"
