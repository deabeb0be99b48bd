from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
