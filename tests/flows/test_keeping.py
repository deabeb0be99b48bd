"""`qstar datasets verify`, `pull` and `prune` as a user calls them: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli import qstar
from qstar_core.errors import IntegrityError, NotFoundError, QstarError
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.versions import Versions
from tests.stages.made import publish


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    for name, value in {"QSTAR_HOME": tmp_path / "home", "QSTAR__STORE__URI": tmp_path / "store",
                        "QSTAR__DATASET": "d", "QSTAR__GATE__HISTORY": 1, "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore(tmp_path / "store")
    for number in range(4):
        publish(store, tmp_path / "x", f"v{number}", parents=(f"v{number - 1}",) if number else (),
                created=f"2026-01-0{number + 1}T00:00:00+00:00")
    return store


def called(*words: str) -> Result:
    return CliRunner().invoke(qstar, ["datasets", *words])


def refused(*words: str) -> QstarError:
    error = called(*words).exception
    assert isinstance(error, QstarError), error
    return error


def test_verify_tells_each_version(store: DirectoryStore) -> None:
    assert "d v3: 4 files" in called("verify").output
    done = called("verify", "--all")
    assert done.exit_code == 0 and done.output.count("all as recorded") == 4
    store.delete("datasets/d/versions/v1/data/data.jsonl")
    assert called("verify", "v3").exit_code == 0
    done = called("verify", "--all")
    assert "d v1: data/data.jsonl: missing" in done.output and done.output.count("all as recorded") == 3
    assert isinstance(done.exception, IntegrityError) and done.exception.exit_code == 6
    assert str(done.exception).startswith("1 of 4 versions failed: d v1 — ")
    assert isinstance(refused("verify", "nothing"), NotFoundError)
    assert isinstance(refused("verify", "--all", "--dataset", "none"), NotFoundError)


def test_pull_takes_names_and_addresses(store: DirectoryStore, tmp_path: Path) -> None:
    assert "d v3: 4 files" in called("pull").output and (tmp_path / "v3/manifest.json").exists()
    address = store.locate("datasets/d/versions/v1")
    told = called("pull", address, "--out", "copy").output
    assert json.loads((tmp_path / "copy/manifest.json").read_text())["version"] == "v1" and "d v1" in told
    assert "4 of them were there" in called("pull", address, "--out", "copy").output
    assert "holds another version" in str(refused("pull", "v2", "--out", "copy"))


def test_prune_tells_first_and_removes_with_yes(store: DirectoryStore) -> None:
    before = {info.key for info in store.list("")}
    told = called("prune", "--keep", "1", "--generations", "0").output
    assert "nothing was removed: add --yes" in told and "would remove" in told
    assert {info.key for info in store.list("")} == before
    assert "v0 " in told.partition("stays:")[0] and "v3" not in told.partition("stays:")[0]
    assert "stays: v3, because it is the newest" in told
    done = called("prune", "--keep", "1", "--generations", "0", "--yes")
    assert done.exit_code == 0 and "removed" in done.output
    assert list(Versions(store, "d").names()) == ["v2", "v3"]
    again = called("prune", "--keep", "1", "--generations", "0").output
    assert "would remove 0" in again


def test_brackets_in_names_and_settings_are_text(store: DirectoryStore, tmp_path: Path) -> None:
    for name, word in (("w1", "[/INST] a"), ("w2", "[/INST] b")):
        publish(store, tmp_path / "x", name, settings={"prompts": {"teacher": word}})
    store.write("datasets/d/versions/[x]/data.jsonl", b"x")
    assert "[/INST] a" in called("diff", "w1", "w2").output
    done = called("prune", "--keep", "0")
    assert done.exit_code == 0 and "[x]" in done.output
    publish(store, tmp_path / "x", "[red]")
    for words in (("show", "[red]"), ("verify", "[red]"), ("verify",)):
        told = called(*words)
        assert told.exit_code == 0 and "d [red]" in told.output


def test_verify_all_goes_on_after_a_key_that_cannot_be(store: DirectoryStore) -> None:
    key = "datasets/d/versions/v1/manifest.json"
    store.write(key, store.read(key).replace(b"datasets/d/versions/v1/data/data.jsonl", b"../../etc/passwd"))
    done = called("verify", "--all")
    assert done.output.count("all as recorded") == 3 and "d v1: key '../../etc/passwd'" in done.output
    assert isinstance(done.exception, IntegrityError)
