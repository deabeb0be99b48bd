"""Where a project keeps its things."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.config import Settings, StoreSettings
from qstar_core.errors import StoreError
from qstar_core.home import home, model_cache, store_uri, subfolder


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QSTAR_HOME", raising=False)
    monkeypatch.delenv("QSTAR_MODEL_CACHE", raising=False)


def test_the_nearest_folder_upward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".qstar").mkdir()
    monkeypatch.chdir(deep)
    assert home() == tmp_path / ".qstar"
    (tmp_path / "project" / ".qstar").mkdir()
    assert home() == tmp_path / "project" / ".qstar"
    (deep / ".qstar").write_text("a file is not a home")
    assert home() == tmp_path / "project" / ".qstar"


def test_a_new_project_begins_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".qstar"
    assert not (tmp_path / ".qstar").exists(), "asking creates nothing"
    assert subfolder("scratch").is_dir()


def test_the_variable_overrides_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".qstar").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QSTAR_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"
    monkeypatch.setenv("QSTAR_HOME", "")
    assert home() == tmp_path / ".qstar"


def test_the_store_is_the_settings_or_the_projects_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    assert store_uri(Settings()) == str(tmp_path / "store")
    assert store_uri(Settings(store=StoreSettings(uri="s3://b/p"))) == "s3://b/p"


def test_models_may_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    assert model_cache() == tmp_path / "models"
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(tmp_path / "shared"))
    assert model_cache() == tmp_path / "shared"


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="QSTAR_HOME"):
        subfolder("store")
