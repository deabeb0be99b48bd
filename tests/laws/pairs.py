"""What the laws are tried on: pairs of logit rows, drawn by hypothesis or by a seeded generator, and what the code
makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from qstar_core.mixture.alpha import AlphaOptions, AlphaSolution, choose, method_of
from qstar_core.mixture.diagnostics import TokenDiagnostics, diagnose
from qstar_core.mixture.geometric import Pair, pair_of, survey
from qstar_core.mixture.target import target_of

NOWHERE = float("-inf")

few_or_many = pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.slow)])


def for_all(count: int, strategy: st.SearchStrategy, law: Callable[[object], None]) -> None:
    """The law on `count` examples; the small count is the same examples every time."""
    options = settings(max_examples=count, deadline=None, database=None, derandomize=count < 1000,
                       suppress_health_check=list(HealthCheck))
    options(given(strategy)(law))()


def _row(size: int, values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=size, max_size=size).map(lambda row: np.array(row, dtype=np.float32))


def pairs(bound: float = 12.0, holes: bool = False) -> st.SearchStrategy:
    """Two rows of 2 to 9 logits; with `holes`, any token may be impossible for either, but not all."""
    values = st.floats(-bound, bound, width=32)
    if holes:
        values = st.one_of(values, values, st.just(NOWHERE))
    both = st.integers(2, 9).flatmap(lambda size: st.tuples(_row(size, values), _row(size, values)))
    return both.filter(lambda pair: np.isfinite(pair[0]).any() and np.isfinite(pair[1]).any())


def random_pair(rows: int, vocab: int, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    theta = generator.normal(0, scale, (rows, vocab)).astype(np.float32)
    return theta, (theta + generator.normal(0, scale, (rows, vocab))).astype(np.float32)


@dataclass(frozen=True)
class Mixed:
    pair: Pair
    solution: AlphaSolution
    logq: Tensor
    diagnostics: TokenDiagnostics

    @property
    def alpha(self) -> np.ndarray:
        return self.solution.alpha_B.numpy()

    @property
    def status(self) -> np.ndarray:
        return self.solution.status_B.numpy()

    def __getattr__(self, name: str) -> np.ndarray:
        return getattr(self.diagnostics, name).double().numpy()


def mixed(theta: np.ndarray, t: np.ndarray, token: int = 0, **options: object) -> Mixed:
    """What the code makes of rows of logits; a single row counts as a batch of one."""
    pair = pair_of(torch.tensor(np.atleast_2d(theta)), torch.tensor(np.atleast_2d(t)))
    chosen = AlphaOptions(**options)
    solution = choose(pair, method_of(chosen), chosen)
    found = survey(pair, solution.alpha_B)
    target = target_of(pair, solution, found.log_z_B)
    token_B = torch.full((pair.rows_count,), token)
    return Mixed(pair, solution, target.log_B_V, diagnose(pair, solution, found, target, token_B))
