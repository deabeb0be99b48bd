"""What every object store promises, asked of a directory and of a real S3 server."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from qstar_core.records import FileRef
from qstar_core.store.integrity import download_verified, read_verified, sha256_bytes, store_bytes, store_file
from qstar_core.store.objects import ObjectStore

Open = Callable[[], ObjectStore]


def test_reads_back_what_was_written(store: ObjectStore) -> None:
    etag = store.write("a/b.json", b"one")
    assert store.read("a/b.json") == b"one"
    assert store.read_with_etag("a/b.json") == (b"one", etag)
    info = store.head("a/b.json")
    assert info is not None
    assert (info.key, info.size, info.etag) == ("a/b.json", 3, etag)
    assert store.write("a/b.json", b"two") != etag
    assert store.read("a/b.json") == b"two"


@pytest.mark.parametrize("key", ["ünï/çodé", "with space/+%25&?#", "a.b/-_~", "x/" * 20 + "x", "quote'\"<>"])
def test_keys_are_taken_as_they_are(store: ObjectStore, key: str) -> None:
    store.write(key, b"")
    assert store.read(key) == b""
    assert [info.key for info in store.list(key[:2])] == [key]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\x00b", "a\nb", ".tmp/x", "\ud800",
                                 "k" * 1025])
def test_refuses_keys_that_leave_the_store(store: ObjectStore, key: str) -> None:
    for use in (store.read, store.head, store.delete, store.locate, lambda key: store.write(key, b"")):
        with pytest.raises(StoreError, match="key"):
            use(key)
    with pytest.raises(StoreError):
        store.copy("a", key)


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//b", "a\x00"])
def test_refuses_prefixes_that_leave_the_store(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(StoreError, match="key"):
        list(store.list(prefix))


def test_what_is_absent(store: ObjectStore, tmp_path: Path) -> None:
    store.write("folder/object", b"x")
    for key in ("none", "folder", "folder/none", "deep/er/none"):
        assert store.head(key) is None
        store.delete(key)
        for use in (store.read, store.read_with_etag, lambda key: store.download(key, tmp_path / "out"),
                    lambda key: store.copy(key, "target")):
            with pytest.raises(NotFoundError, match=key):
                use(key)
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotFoundError, match="no-such-file"):
        store.upload("a", tmp_path / "no-such-file")
    assert [info.key for info in store.list("")] == ["folder/object"]


def test_delete_is_idempotent(store: ObjectStore) -> None:
    store.write("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert store.head("a/b") is None
    assert list(store.list("")) == []


def test_lists_in_key_order(store: ObjectStore) -> None:
    keys = ["a/b", "a-b", "a.txt", "a/c/d", "a/c-d", "b", "Z", "é", "a0"]
    for key in keys:
        store.write(key, key.encode())
    assert [info.key for info in store.list("")] == sorted(keys, key=str.encode)
    assert [info.key for info in store.list("a/c")] == ["a/c-d", "a/c/d"]
    assert [info.key for info in store.list("a/c/")] == ["a/c/d"]
    assert [info.size for info in store.list("é")] == [2]
    assert list(store.list("none/")) == []
    assert all(store.head(info.key) == info for info in store.list(""))


def test_lists_more_than_one_page(store: ObjectStore) -> None:
    keys = [f"many/{number:04d}" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b"x"), keys))
    store.write("many-others", b"x")
    assert [info.key for info in store.list("many/")] == keys


def test_streams_from_any_byte(store: ObjectStore) -> None:
    data = os.urandom((2 << 20) + 3)
    store.write("large", data)
    for start in (0, 1, 1 << 20, len(data) - 1):
        pieces = list(store.chunks("large", start))
        assert b"".join(pieces) == data[start:] and max(map(len, pieces)) <= 1 << 20
    store.write("empty", b"")
    assert b"".join(store.chunks("empty")) == b""
    with pytest.raises(NotFoundError, match="none"):
        next(store.chunks("none"))


def test_tells_when_an_object_was_written(store: ObjectStore) -> None:
    before = time.time()
    store.write("a", b"1")
    info = store.head("a")
    assert info is not None
    for found in (info, *store.list("")):
        assert before - 2 < found.modified < time.time() + 2


def test_objects_are_no_empty_folders(store: ObjectStore) -> None:
    store.write("a/b/c", b"1")
    assert store.empty_folders("a/", remove=True) == store.empty_folders("") == store.empty_folders("none/") == 0
    assert store.read("a/b/c") == b"1"


def test_copy(store: ObjectStore) -> None:
    store.write("staged/a", b"one")
    store.copy("staged/a", "published/a")
    store.copy("published/a", "published/a2")
    store.write("staged/a", b"two")
    assert (store.read("published/a"), store.read("staged/a")) == (b"one", b"two")
    store.delete("staged/a")
    store.copy("published/a2", "published/a")
    assert store.read("published/a") == b"one"


def test_conditions(store: ObjectStore) -> None:
    first = store.write("pointer", b"1", if_absent=True)
    with pytest.raises(ConflictError, match="pointer"):
        store.write("pointer", b"2", if_absent=True)
    second = store.write("pointer", b"2", if_match=first)
    with pytest.raises(ConflictError, match="pointer"):
        store.write("pointer", b"3", if_match=first)
    assert store.read_with_etag("pointer") == (b"2", second)
    with pytest.raises(ConflictError, match="absent"):
        store.write("absent", b"1", if_match=second)
    assert store.head("absent") is None
    with pytest.raises(StoreError, match="together"):
        store.write("pointer", b"1", if_absent=True, if_match=second)
    store.delete("pointer")
    store.write("pointer", b"4", if_absent=True)


def test_one_of_twelve_creates(open_again: Open) -> None:
    stores = [open_again() for _ in range(3)]
    for key in ("race/1", "race/2", "race/3"):
        gate = threading.Barrier(12)

        def create(number: int, key: str = key, gate: threading.Barrier = gate) -> int | None:
            gate.wait()
            try:
                stores[number % 3].write(key, str(number).encode(), if_absent=True)
            except ConflictError:
                return None
            return number

        with ThreadPoolExecutor(12) as pool:
            winners = [number for number in pool.map(create, range(12)) if number is not None]
        assert len(winners) == 1
        assert stores[0].read(key) == str(winners[0]).encode()


def test_compare_and_swap_loses_nothing(open_again: Open) -> None:
    writers, each = 6, 8
    open_again().write("counter", b"0")

    def count(store: ObjectStore) -> None:
        for _ in range(each):
            while True:
                data, etag = store.read_with_etag("counter")
                try:
                    store.write("counter", str(int(data) + 1).encode(), if_match=etag)
                    break
                except ConflictError:
                    continue

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(count, [open_again() for _ in range(writers)]))
    assert open_again().read("counter") == str(writers * each).encode()


def test_a_reader_sees_whole_objects_only(open_again: Open) -> None:
    size, stop = 300_000, threading.Event()
    writer, reader = open_again(), open_again()
    writer.write("object", b"\x00" * size)

    def replace() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 256
            writer.write("object", bytes([number]) * size)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        seen = set()
        for _ in range(60):
            data = reader.read("object")
            assert len(data) == size
            assert len(set(data)) == 1
            seen.add(data[0])
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 1  # otherwise the reader never met a write


def test_a_file_of_several_parts(store: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(os.urandom(20 * 2**20 + 7))
    ref = store_file(store, "models/weights", source, rows=3)
    assert ref == FileRef(key="models/weights", sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
                          bytes=20 * 2**20 + 7, rows=3)
    store.copy("models/weights", "models/copy")
    store.upload("models/weights", source)
    for key in ("models/weights", "models/copy"):
        download_verified(store, ref.model_copy(update={"key": key}), target)
        assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_small_and_an_empty_file(store: ObjectStore, tmp_path: Path) -> None:
    for data in (b"", b"small"):
        (tmp_path / "file").write_bytes(data)
        etag = store.upload("file", tmp_path / "file")
        assert store.read_with_etag("file") == (data, etag)
        store.download("file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data


def test_damaged_bytes_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    ref = store_bytes(store, "data/part", b"good", rows=1)
    assert ref.sha256 == sha256_bytes(b"good")
    assert read_verified(store, ref) == b"good"
    store.write("data/part", b"evil")
    with pytest.raises(IntegrityError, match="data/part"):
        download_verified(store, ref, tmp_path / "out")
    with pytest.raises(IntegrityError, match="data/part"):
        read_verified(store, ref)
    assert not list(tmp_path.glob("*out*"))


def test_another_process_gets_the_same_store(store: ObjectStore) -> None:
    store.write("a", b"x")
    again = pickle.loads(pickle.dumps(store))
    assert again.read("a") == b"x"
    assert (again.uri, again.locate("a")) == (store.uri, store.locate("a"))


@pytest.mark.parametrize("size", [3, (17 << 20) + 1])
def test_a_copy_is_of_what_was_recorded(store: ObjectStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    store.upload("a", tmp_path / "a")
    store.copy("a", "b", sha256=sha256_bytes(data))
    assert store.read("b") == data
    with pytest.raises(IntegrityError, match="run the round again"):
        store.copy("a", "c", sha256=sha256_bytes(b"two"))
    assert store.head("c") is None
