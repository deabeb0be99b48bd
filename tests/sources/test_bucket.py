"""Objects of a bucket, on a real S3 server: the same rows as the files, one object on disk at a time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from qstar_core.config import S3Settings, SourceSettings
from qstar_core.errors import ConfigError, DataError
from qstar_core.home import subfolder
from qstar_core.sources.reading import read_source
from qstar_core.sources.rows import read_rows, source_state
from qstar_core.store.localserver import RunningS3
from qstar_core.store.opening import open_store

ROWS = [{"question": f"what is {i}?", "answer": str(i)} for i in range(12)]


def lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def s3(s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Settings:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    return S3Settings(endpoint_url=s3_server.endpoint_url, addressing_style="path")


def test_a_prefix_is_read_object_by_object(s3: S3Settings) -> None:
    store = open_store("s3://tests/source-room", s3)
    store.write("data/train-0.jsonl", lines(ROWS[:5]))
    store.write("data/train-1.jsonl.gz", gzip.compress(lines(ROWS[5:])))
    store.write("data/test-0.jsonl", lines(ROWS[:1]))
    store.write("data/README.md", b"no data")
    store.write("database/train-2.jsonl", lines(ROWS))
    source = SourceSettings(path="s3://tests/source-room/data", s3=s3)
    found = []
    for row in read_rows(source):
        found.append(row.row.values)
        assert len([file for file in subfolder("scratch").rglob("*") if file.is_file()]) == 1
    assert found == ROWS
    assert not list(subfolder("scratch").rglob("*"))
    assert len([read for read in read_source(source.model_copy(update={"split": "test"})) if read.prompt]) == 1
    one = SourceSettings(path="s3://tests/source-room/data/train-0.jsonl", s3=s3)
    assert [row.row.values for row in read_rows(one)] == ROWS[:5]
    assert next(iter(read_rows(one))).file == "s3://tests/source-room/data/train-0.jsonl"
    before = source_state(source)
    assert before == source_state(source)
    store.write("data/train-0.jsonl", lines(ROWS[1:5]))
    assert source_state(source) != before


def test_what_is_not_there_is_named(s3: S3Settings) -> None:
    with pytest.raises(DataError, match="no data files at s3://tests/nothing"):
        list(read_rows(SourceSettings(path="s3://tests/nothing", s3=s3)))
    with pytest.raises(ConfigError, match=r"source\.path has no valid bucket name"):
        list(read_rows(SourceSettings(path="s3://X", s3=s3)))
