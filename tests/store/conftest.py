"""Stores to test: a directory, and a bucket on a real S3 server that lives as long as the test run."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qstar_core.store.directory import DirectoryStore
from qstar_core.store.localserver import LocalS3Server, RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.s3 import S3Store

PART_MB = 8


_GUARD = """
import sys
from pathlib import Path
from qstar_core.store.localserver import LocalS3Server
sys.stdin.read()
LocalS3Server(Path(sys.argv[1])).stop()
"""


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningS3]:
    """Stopped by a guard that reads a pipe of ours: it ends also when this run is killed."""
    folder = tmp_path_factory.mktemp("s3")
    guard = subprocess.Popen([sys.executable, "-c", _GUARD, str(folder)], stdin=subprocess.PIPE, start_new_session=True)
    server = LocalS3Server(folder, bucket="tests")
    try:
        yield server.start()
    finally:
        guard.communicate(timeout=60)
    assert server.status() is None


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
