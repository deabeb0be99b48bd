"""What several rooms' tests share: models made once a machine, and projects in which the real command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from qstar_core.store.localserver import LocalS3Server, RunningS3

REPOSITORY = Path(__file__).parents[1]

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def model_cache() -> Path:
    """Where `make demo` keeps its models, so that they are trained once."""
    return Path(os.environ.get("QSTAR_MODEL_CACHE", REPOSITORY / ".qstar" / "models"))


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
