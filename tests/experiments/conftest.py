"""Stores, and studies of a size that runs in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.flows.conftest import api_url, here, project

__all__ = ["api_url", "here", "project"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return DirectoryStore(tmp_path / "store")
