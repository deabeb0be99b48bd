"""Stores and the small models that training starts from."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from qstar_core.store.s3 import S3Store
from tests.exports.conftest import Version, publish_round
from tests.stages.scripted import write_checkpoint


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Version]:
    """A real version with traces and the likeliest tokens of q*. Tests only read it."""
    before = dict(os.environ)
    os.environ.update({"QSTAR_HOME": str(tmp_path_factory.mktemp("training")), "QSTAR_MODEL_CACHE": str(model_cache)})
    try:
        yield publish_round({"round.prompts": 32, "sampling.draws": 4, "engine.top_logprobs": 8})
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(params=["directory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    server = request.getfixturevalue("s3_server")
    return S3Store(server.bucket, uuid.uuid4().hex, server.settings)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model", 1)
