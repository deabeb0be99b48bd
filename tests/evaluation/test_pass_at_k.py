"""pass@k is the share of all choices of k samples that hold a right one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from qstar_core.evaluation.measures.pass_at_k import pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_against_enumeration(n):
    for right in range(n + 1):
        samples = [True] * right + [False] * (n - right)
        for k in range(1, n + 1):
            choices = list(combinations(samples, k))
            assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_it_is_unbiased_where_the_plain_estimate_is_not():
    rng = np.random.default_rng(1)
    p, n, k = 0.2, 6, 3
    right = rng.binomial(n, p, 20_000)
    truth = 1 - (1 - p) ** k
    assert np.mean([pass_at_k(n, int(c), k) for c in right]) == pytest.approx(truth, abs=0.01)
    assert abs(np.mean(1 - (1 - right / n) ** k) - truth) > 0.02
