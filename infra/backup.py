"""Backup and restore of the Prefect server's database, SQLite or Postgres. It needs nothing but Python, and for
Postgres pg_dump and pg_restore of the server's release.

    PREFECT_API_DATABASE_CONNECTION_URL=… python infra/backup.py save FILE       while the server runs
    PREFECT_API_DATABASE_CONNECTION_URL=… python infra/backup.py restore FILE    with the server stopped

The address comes from the environment, and its password goes to the programs by the environment: neither stands in the
list of processes. A backup appears under its name when it is whole, and is never overwritten. A restore replaces what
the database holds, all of it or nothing. Datasets are not part of it: they lie in the object store.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

_SQLITE, _POSTGRES = "sqlite+aiosqlite:///", "postgresql+asyncpg://"


def main() -> None:
    url = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", "")
    if len(sys.argv) != 3 or sys.argv[1] not in ("save", "restore"):
        sys.exit("backup: use backup.py save FILE, or backup.py restore FILE")
    action, file = sys.argv[1], Path(sys.argv[2])
    if url.startswith(_SQLITE):
        database = Path(url.removeprefix(_SQLITE))
        _save(file, lambda part: _copy(database, part)) if action == "save" else _replace(database, _there(file))
    elif url.startswith(_POSTGRES):
        if action == "save":
            _save(file, lambda part: _postgres(url, "pg_dump", "--format=custom", "--no-owner", f"--file={part}"))
        else:
            _postgres(url, "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction",
                      f"--dbname={_database(url)}", str(_there(file)))
    else:
        sys.exit(f"backup: PREFECT_API_DATABASE_CONNECTION_URL begins with neither {_SQLITE} nor {_POSTGRES}")


def _save(file: Path, write: Callable[[Path], None]) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        write(part)
        os.link(part, file)  # unlike a rename, it refuses a name that is taken
    except FileExistsError:
        sys.exit(f"backup: {file} is there already")
    finally:
        part.unlink()


def _copy(source: Path, target: Path) -> None:
    """By SQLite's own backup, which is consistent while another process writes."""
    if not source.is_file():
        sys.exit(f"backup: there is no {source}")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as has, \
                closing(sqlite3.connect(target)) as gets:
            has.backup(gets)
            gets.execute("pragma journal_mode=delete")  # one file, with nothing beside it
            found = gets.execute("pragma integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        sys.exit(f"backup: {source}: {error}")
    if found != "ok":
        sys.exit(f"backup: the copy of {source} is damaged: {found}")


def _replace(database: Path, file: Path) -> None:
    """Whole, then under its name; what the old database had not merged yet goes with it."""
    part = database.with_name(f"{database.name}.{os.getpid()}.part")
    try:
        _copy(file, part)
        for beside in ("-wal", "-shm"):
            database.with_name(database.name + beside).unlink(missing_ok=True)
        part.replace(database)
    finally:
        part.unlink(missing_ok=True)


def _postgres(url: str, *command: str) -> None:
    parts = urlsplit(url)
    options = {f"PG{name.upper()}": values[-1] for name, values in parse_qs(parts.query).items()
               if name in ("host", "port")}
    given = {"PGHOST": parts.hostname, "PGPORT": parts.port, "PGUSER": parts.username, "PGPASSWORD": parts.password,
             "PGDATABASE": _database(url)}
    env = {name: unquote(str(value)) for name, value in given.items() if value} | options
    try:
        done = subprocess.run(command, env={**os.environ, **env}, check=False)
    except FileNotFoundError:
        sys.exit(f"backup: there is no program {command[0]}; install the client programs of Postgres")
    if done.returncode:
        sys.exit(f"backup: {command[0]} ended with code {done.returncode}")


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _there(file: Path) -> Path:
    if not file.is_file() or not file.stat().st_size:
        sys.exit(f"backup: there is no {file}")
    return file


if __name__ == "__main__":
    main()
