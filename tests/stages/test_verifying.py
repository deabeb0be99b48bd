"""A version that is whole verifies; every single file that is wrong, missing or too much is named, and only that."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import NotFoundError, UnavailableError
from qstar_core.stages.verifying import verify
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.integrity import store_file
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions
from tests.stages.made import publish, workspace

KEY = "datasets/d/versions/v1"


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    server: RunningS3 = request.getfixturevalue("s3_server")
    return server.store(f"verify-{tmp_path.name}")


def faults(store: ObjectStore, name: str = "v1") -> dict[str, str]:
    found = verify(workspace(store), Versions(store, "d"), name)
    return {fault.file: fault.problem for fault in found.faults}


def test_a_whole_version_verifies_and_reads_every_byte_once(store: ObjectStore, tmp_path: Path) -> None:
    manifest = publish(store, tmp_path, "v1")
    heard: list[tuple[int, int]] = []
    found = verify(workspace(store), Versions(store, "d"), "v1", lambda count, total: heard.append((count, total)))
    assert (found.faults, found.files) == ((), 4)
    total = sum(ref.bytes for ref in manifest.files)
    assert sum(count for count, _ in heard) == total == found.bytes
    assert {total for _, total in heard} == {total}


def test_each_damage_is_named(store: ObjectStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1")
    good = store.read(f"{KEY}/data/data.jsonl")
    store.write(f"{KEY}/data/data.jsonl", good.replace(b"yes", b"nay"))
    assert set(faults(store)) == {"data/data.jsonl"} and "SHA-256" in faults(store)["data/data.jsonl"]
    store.write(f"{KEY}/data/data.jsonl", good[:-1])
    assert f"{len(good) - 1:,} bytes, recorded were {len(good):,}" == faults(store)["data/data.jsonl"]
    store.delete(f"{KEY}/data/data.jsonl")
    store.write(f"{KEY}/data/more.jsonl", b"")
    assert faults(store) == {"data/data.jsonl": "missing", "data/more.jsonl": "not in the manifest"}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rows_are_counted(store: ObjectStore, tmp_path: Path, ending: str) -> None:
    publish(store, tmp_path, "v1", latest=False)
    key = f"{KEY}/manifest.json"
    tree = json.loads(store.read(key))
    for ref in tree["files"]:
        if ref["key"].endswith(f"data.{ending}"):
            ref["rows"] = 4
    store.write(key, json.dumps(tree).encode())
    wanted = {f"data/data.{ending}": "3 rows, recorded were 4"}
    if ending == "parquet":
        wanted["manifest.json"] = "3 rows, its data/data.parquet has 4"
    assert faults(store) == wanted


def test_the_manifest_itself(store: ObjectStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1")
    key = f"{KEY}/manifest.json"
    data = store.read(key)
    store.write(key, data + b"\n")
    assert "`latest` recorded" in faults(store)["manifest.json"]
    store.write(key, data.replace(b'"version": "v1"', b'"version": "v2"'))
    assert faults(store)["manifest.json"] == "the manifest of d v1 is that of d v2"
    store.write(key, b"{}")
    assert "is damaged" in faults(store)["manifest.json"]
    with pytest.raises(NotFoundError, match="no version 'none'"):
        faults(store, "none")


def test_what_cannot_be_read_now_is_no_damage(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    publish(store, tmp_path, "v1")

    class Away:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def chunks(self, key: str, start: int = 0) -> object:
            raise UnavailableError("the server does not answer", "wait")

    with pytest.raises(UnavailableError):
        verify(workspace(Away()), Versions(store, "d"), "v1")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    manifest = publish(store, tmp_path, "v1")
    (tmp_path / "big").write_bytes(b"x" * (64 << 20))
    big = store_file(store, f"{KEY}/big.bin", tmp_path / "big")
    changed = manifest.model_copy(update={"files": (*manifest.files, big)})
    store.write(f"{KEY}/manifest.json", changed.model_dump_json().encode())
    tracemalloc.start()
    verify(workspace(store), Versions(store, "d"), "v1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_reading_stops_where_more_comes_than_was_recorded(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    publish(store, tmp_path / "x", "v1")
    read: list[int] = []

    class Endless:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
            while len(read) < 10_000:
                read.append(1)
                yield bytes(4096)

    found = verify(workspace(Endless()), Versions(store, "d"), "v1")  # type: ignore[arg-type]
    assert any("more than the recorded" in fault.problem for fault in found.faults) and len(read) < 100
