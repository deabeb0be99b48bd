"""Stores to test: a directory, and a bucket on a real S3 server that lives as long as the test run."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from qstar_core.store.directory import DirectoryStore
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.s3 import S3Store

PART_MB = 8


@pytest.fixture(params=["directory", "s3"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ObjectStore]:
    """Opens the same empty store, each time as another client would."""
    if request.param == "directory":
        return lambda: DirectoryStore(tmp_path / "store")
    server: RunningS3 = request.getfixturevalue("s3_server")
    settings = server.settings.model_copy(update={"part_mb": PART_MB})
    prefix = uuid.uuid4().hex
    return lambda: S3Store(server.bucket, prefix, settings)


@pytest.fixture
def store(open_again: Callable[[], ObjectStore]) -> ObjectStore:
    return open_again()
