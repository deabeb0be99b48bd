"""The store that workers were started with is known, and told where it is not that of the settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows import workers
from flows.commands import stack, status
from flows.workers import Worker, other_stores, running_workers, start_workers, store_of
from qstar_core.configload import load_settings
from qstar_core.store.localserver import RunningS3

S3 = RunningS3("http://127.0.0.1:12000", "qstar", "key", "secret", Path("/home/keys"), 1)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, and every number is that of a living worker."""
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    monkeypatch.setattr(workers, "_start", lambda pool: type("Process", (), {"pid": len(pool)})())
    monkeypatch.setattr(workers, "_wait", lambda pool, process: None)
    monkeypatch.setattr(workers, "is_prefect", lambda pid: True)


def test_a_store_is_named_alike_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_of(load_settings()) == str(tmp_path / "store")
    assert store_of(load_settings(flags={"store.uri": "here"})) == str(tmp_path / "here")
    local = {"store.uri": "s3://qstar", "store.s3.endpoint_url": "http://ada:secret@127.0.0.1:1"}
    assert store_of(load_settings(flags=local)) == "s3://qstar at http://127.0.0.1:1"
    assert store_of(load_settings(flags={"store.uri": "s3://qstar"})) == "s3://qstar"


def test_workers_of_another_store_are_told() -> None:
    assert start_workers(["a"], "/one") == ["a"] and other_stores("/one") == []
    assert start_workers(["a", "bb"], "s3://two") == ["bb"]
    assert running_workers() == {"a": Worker(1, "/one"), "bb": Worker(2, "s3://two")}
    assert other_stores("s3://two") == ["/one"]
    told = status._stores(load_settings(flags={"store.uri": "/one"}))
    assert told[0] == ("Their store", "/one") and "these settings have /one: `qstar down`" in told[1][1]


def test_up_uses_the_server_that_it_starts_and_down_tells_what_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*stack._variables(S3)]
    for name in names:
        monkeypatch.delenv(name, raising=False)

    class Local:
        def __init__(self, folder: Path) -> None: ...

        def start(self) -> RunningS3:
            return S3

        def status(self) -> RunningS3:
            return S3

        def stop(self) -> None: ...

    monkeypatch.setattr(stack, "LocalS3Server", Local)
    monkeypatch.setattr(stack, "stop_workers", list)
    monkeypatch.setattr(stack, "stop_server", lambda: False)
    try:
        stack._start_s3()
        assert store_of(load_settings(env=os.environ)) == "s3://qstar at http://127.0.0.1:12000"
        monkeypatch.setenv("QSTAR__STORE__URI", "s3://mine")
        told = CliRunner().invoke(stack.down).output
    finally:
        for name in names:
            os.environ.pop(name, None)
    line = next(line for line in told.splitlines() if "unset" in line)
    assert "AWS_PROFILE" in line and "AWS_SHARED_CREDENTIALS_FILE" in line and "QSTAR__STORE__S3__REGION" in line
    assert "QSTAR__STORE__URI" not in line, "that one names a store of the user's"
