"""The two entropy rules by their definition, and how they stand to KL symmetry."""

import numpy as np
import pytest

from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, mixed, pairs, random_pair


@few_or_many
def test_entropy_and_confidence_by_definition(count):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        if not brute.common(theta, t).any():
            return
        of_theta, of_t = brute.entropy(theta), brute.entropy(t)
        entropy, confidence = (mixed(*pair, method=name).alpha[0] for name in ("entropy", "confidence"))
        assert entropy + confidence == pytest.approx(1, abs=1e-12)
        if of_theta + of_t > 1e-3:
            assert entropy == pytest.approx(of_t / (of_theta + of_t), abs=1e-3)

    for_all(count, pairs(holes=True), law)


def test_two_certain_models_share_evenly():
    for name in ("entropy", "confidence"):
        assert mixed([0.0, NOWHERE], [3.0, NOWHERE], method=name).alpha[0] == 0.5


def test_the_rules_lean_the_way_their_names_say():
    unsure, sure = [0.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]
    assert mixed(unsure, sure, method="entropy").alpha[0] < 0.5, "entropy leans to the less sure model"
    assert mixed(unsure, sure, method="confidence").alpha[0] > 0.5, "confidence trusts the surer model"


def test_entropy_follows_kl_symmetry_and_confidence_opposes_it():
    generator = np.random.default_rng(5)
    theta = generator.normal(0, generator.uniform(0.5, 4, (400, 1)), (400, 50)).astype(np.float32)
    t = generator.normal(0, generator.uniform(0.5, 4, (400, 1)), (400, 50)).astype(np.float32)
    solved = mixed(theta, t).alpha
    assert np.corrcoef(solved, mixed(theta, t, method="entropy").alpha)[0, 1] > 0.3
    assert np.corrcoef(solved, mixed(theta, t, method="confidence").alpha)[0, 1] < -0.3


def test_half_of_all_roots_lie_below_the_middle():
    """So no default may clamp α to [½, 1]."""
    theta, t = random_pair(400, 50, 2.0, seed=9)
    swapped = np.concatenate([mixed(theta, t).alpha, mixed(t, theta).alpha])
    assert abs((swapped < 0.5).mean() - 0.5) < 0.02
