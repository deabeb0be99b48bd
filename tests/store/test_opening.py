"""`store.uri` names one store or is refused, and never repeats a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.config import S3Settings
from qstar_core.errors import ConfigError, StoreError
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.opening import open_store
from qstar_core.store.s3 import S3Store


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with space %20 #ü"
    for uri in (str(folder), folder.as_uri(), f"file://localhost{folder.as_uri()[7:]}"):
        store = open_store(uri)
        assert isinstance(store, DirectoryStore)
        assert store.uri == folder.as_uri()
        assert open_store(store.uri).uri == store.uri
    assert not folder.exists()
    monkeypatch.chdir(tmp_path)
    assert open_store("a/b").uri == (tmp_path / "a" / "b").as_uri()
    assert open_store("~/b").uri == (Path.home() / "b").as_uri()


def test_buckets() -> None:
    for uri, expected in (("s3://bucket/a/b/", "s3://bucket/a/b"), ("s3://bucket", "s3://bucket"),
                          ("S3://bucket/", "s3://bucket"), ("s3://bucket/a?b#c", "s3://bucket/a?b#c")):
        store = open_store(uri, S3Settings(endpoint_url="http://127.0.0.1:1"))
        assert isinstance(store, S3Store)
        assert store.uri == expected
        assert store.locate("k") == f"{expected}/k"
    with pytest.raises(StoreError):
        open_store("s3://bucket/../other")


@pytest.mark.parametrize("uri", ["", " ", "s3://", "s3:///prefix", "s3:/bucket", "s3://Bucket_/x", "gs://b/x", "file://host/x",
                                 "https://me:hunter2@host/b", "s3://key:hunter2@bucket/x", "file:///a?b", "a\x00b"])
def test_anything_else_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.uri") as caught:
        open_store(uri)
    assert "hunter2" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("url", ["", "http://[::1", "http://a b", "http://", "ftp://a", "http://a:0", "http://a:99999",
                                 "http://a_b", "http://me:hunter2@a"])
def test_an_unusable_endpoint_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.s3\.endpoint_url") as caught:
        open_store("s3://bucket", S3Settings(endpoint_url=url))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:9000", "https://s3.example.com", "http://127.0.0.1:1", "http://minio:9000/"])
def test_a_usable_endpoint_is_taken(url: str) -> None:
    open_store("s3://bucket", S3Settings(endpoint_url=url)).locate("k")
