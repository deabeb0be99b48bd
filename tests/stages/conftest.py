from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.records import ModelRef
from qstar_core.store.directory import DirectoryStore
from tests.stages.scripted import Project, models_of, settings_of, write_checkpoint


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return write_checkpoint(folder / "student", 1), write_checkpoint(folder / "teacher", 2)


@pytest.fixture(scope="session")
def models(checkpoints: tuple[Path, Path]) -> dict[str, ModelRef]:
    return models_of(*checkpoints)


@pytest.fixture
def project(tmp_path: Path, models: dict[str, ModelRef], monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    return Project(DirectoryStore(tmp_path / "store"), models, settings_of())
