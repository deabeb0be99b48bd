"""The embedded student, and a copy of it that was damaged: noise on every weight."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_core.models import resolve
from qstar_core.records import ModelRef
from qstar_core.tiny.build import build_pair


@pytest.fixture(scope="session")
def tiny(model_cache: Path) -> ModelRef:
    return resolve(str(build_pair(model_cache).student), None)


@pytest.fixture(scope="session")
def damaged(tiny: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return resolve(str(changed(tiny, tmp_path_factory.mktemp("damaged") / "student", 0.25)), None)


def changed(model: ModelRef, folder: Path, noise: float) -> Path:
    """A copy with relative noise on every weight; NaN noise makes every weight NaN."""
    shutil.copytree(model.path, folder)
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    made = {name: weight + noise * weight.std() * torch.randn_like(weight) for name, weight in weights.items()}
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
