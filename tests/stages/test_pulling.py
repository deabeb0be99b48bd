"""A pulled folder is the version; a file has its name only when it is whole; what was there is not fetched again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError, StoreError, UnavailableError
from qstar_core.stages.pulling import pull
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions
from tests.stages.made import publish

KEY = "datasets/d/versions/v1"


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    server: RunningS3 = request.getfixturevalue("s3_server")
    return server.store(f"pull-{tmp_path.name}")


class Cut:
    """A store whose streams break after `left` bytes in all."""

    def __init__(self, store: ObjectStore, left: int) -> None:
        self._store, self.left, self.asked = store, left, list[tuple[str, int]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        self.asked.append((key, start))
        for data in self._store.chunks(key, start):
            for at in range(0, len(data), 100):
                piece = data[at:at + 100]
                if self.left < len(piece):
                    raise UnavailableError("the connection broke", "again")
                self.left -= len(piece)
                yield piece


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_pulled_folder_is_the_version(store: ObjectStore, tmp_path: Path) -> None:
    manifest = publish(store, tmp_path, "v1")
    heard: list[int] = []
    found = pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2, lambda count, _: heard.append(count))
    assert names(tmp_path / "out") == {ref.key.removeprefix(f"{KEY}/") for ref in manifest.files} | {"manifest.json"}
    for ref in manifest.files:
        data = (tmp_path / "out" / ref.key.removeprefix(f"{KEY}/")).read_bytes()
        assert hashlib.sha256(data).hexdigest() == ref.sha256
    assert (tmp_path / "out" / "manifest.json").read_bytes() == store.read(f"{KEY}/manifest.json")
    assert (found.files, found.there, found.bytes) == (4, 0, sum(heard))
    assert pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2).there == 4


def test_a_pull_that_broke_anywhere_goes_on_and_shows_nothing_half(store: ObjectStore, tmp_path: Path) -> None:
    manifest = publish(store, tmp_path, "v1", samples=[f"s{number}" for number in range(20)])
    sizes = {ref.key: ref.bytes for ref in manifest.files}
    total = sum(sizes.values())
    for number, left in enumerate(range(0, total, total // 9)):
        folder = tmp_path / f"out{number}"
        cut = Cut(store, left)
        with pytest.raises(StoreError, match="broke"):
            pull(cut, Versions(store, "d"), "v1", folder, 1)  # type: ignore[arg-type]
        for name in names(folder) - {".pull.json"}:
            assert name.endswith(".part") or (folder / name).stat().st_size == sizes[f"{KEY}/{name}"]
        assert "manifest.json" not in names(folder)
        again = Cut(store, total)
        pull(again, Versions(store, "d"), "v1", folder, 1)  # type: ignore[arg-type]
        assert total - again.left < total - left + 100, "what was there is not fetched again"
        assert names(folder) == {key.removeprefix(f"{KEY}/") for key in sizes} | {"manifest.json"}


def test_damaged_parts_and_files_are_fetched_anew(store: ObjectStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1")
    out = tmp_path / "out"
    pull(store, Versions(store, "d"), "v1", out, 2)
    good = (out / "data/data.jsonl").read_bytes()
    (out / "data/data.jsonl").unlink()
    for wrong in (b"x", b"x" * len(good), b"x" * (len(good) + 7)):
        (out / "data/data.jsonl.part").write_bytes(wrong)
        assert pull(store, Versions(store, "d"), "v1", out, 2).there == 3
        assert (out / "data/data.jsonl").read_bytes() == good
        (out / "data/data.jsonl").write_bytes(b"y" * len(good))


def test_a_damaged_store_gives_no_file(store: ObjectStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1")
    data = store.read(f"{KEY}/data/data.jsonl")
    for wrong in (data.replace(b"yes", b"nay"), data[:-3], data + b"more"):
        store.write(f"{KEY}/data/data.jsonl", wrong)
        with pytest.raises(IntegrityError, match=r"data/data\.jsonl has SHA-256"):
            pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2)
        assert not {"manifest.json", "data/data.jsonl", "data/data.jsonl.part"} & names(tmp_path / "out")
    store.delete(f"{KEY}/data/data.jsonl")
    with pytest.raises(NotFoundError):
        pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2)


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    versions = Versions(store, "d")
    publish(store, tmp_path / "x", "v1"), publish(store, tmp_path / "x", "v2", samples=["z"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("mine")
    with pytest.raises(ConflictError, match="is not empty and holds no begun pull"):
        pull(store, versions, "v1", tmp_path / "mine", 2)
    assert names(tmp_path / "mine") == {"thesis.tex"}
    pull(store, versions, "v1", tmp_path / "out", 2)
    with pytest.raises(ConflictError, match="holds another version"):
        pull(store, versions, "v2", tmp_path / "out", 2)
    with pytest.raises(StoreError):
        pull(Cut(store, 10), versions, "v1", tmp_path / "begun", 1)  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match=r"holds the begun pull of file://.*/v1"):
        pull(store, versions, "v2", tmp_path / "begun", 2)
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        pull(store, versions, "v1", tmp_path / "mine/thesis.tex", 2)


@pytest.mark.parametrize("key", ["students/line/latest.json", f"{KEY}/manifest.json", f"{KEY}/x.part",
                                 "datasets/d/versions/v0/data.jsonl"])
def test_no_name_of_a_manifest_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    store = DirectoryStore(tmp_path / "store")
    publish(store, tmp_path / "x", "v1")
    tree = json.loads(store.read(f"{KEY}/manifest.json"))
    tree["files"][0]["key"] = key
    store.write(f"{KEY}/manifest.json", json.dumps(tree).encode())
    with pytest.raises(IntegrityError, match="it was not written by qstar"):
        pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2)
    tree["files"][0]["key"] = f"{KEY}/../../../../../escaped"
    store.write(f"{KEY}/manifest.json", json.dumps(tree).encode())
    with pytest.raises(StoreError, match="part"):
        pull(store, Versions(store, "d"), "v1", tmp_path / "out", 2)
    assert not (tmp_path / "out").exists()


def test_a_begun_pull_that_is_not_text_is_told(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    publish(store, tmp_path / "x", "v1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.pull.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConflictError, match="holds the begun pull of"):
        pull(store, Versions(store, "d"), "v1", tmp_path / "out", 1)


def test_a_manifest_of_another_version_or_changed_since_it_was_latest_is_not_pulled(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    versions, other = Versions(store, "d"), publish(store, tmp_path / "x", "v2")
    mine = publish(store, tmp_path / "x", "v1")
    store.write(f"{KEY}/manifest.json", other.model_dump_json().encode())
    with pytest.raises(IntegrityError, match="the manifest of d v1 is that of d v2"):
        pull(store, versions, "v1", tmp_path / "out", 1)
    store.write(f"{KEY}/manifest.json", mine.model_copy(update={"rows": 9}).model_dump_json().encode())
    with pytest.raises(IntegrityError, match="is not the one that was made latest"):
        pull(store, versions, "v1", tmp_path / "out", 1)
    store.write("datasets/d/latest.json", b"{")
    pull(store, versions, "v1", tmp_path / "out", 1)
