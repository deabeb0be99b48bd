from __future__ import annotations

import pytest

from qstar_core.tiny.recipe import PairRecipe, Recipe


@pytest.fixture(scope="session")
def short() -> PairRecipe:
    """Models that are good for nothing but are made in a moment."""
    one = Recipe(hidden_size=16, layers=1, heads=2, feed_forward=16, steps=3, batch=4, learning_rate=1e-3, seed=1,
                 sort_share=0.2, step_weights=(0.25, 0.25, 0.25, 0.25), hinted=0.5)
    return PairRecipe(student=one, teacher=one.model_copy(update={"seed": 2}))
