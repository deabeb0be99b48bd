"""The solved α makes q as far from the student as from the teacher, or a status says why it cannot."""

import numpy as np
import pytest
import torch

from qstar_core.mixture.alpha import AlphaOptions, AlphaStatus
from qstar_core.mixture.geometric import pair_of
from qstar_core.mixture.kl_symmetry import KLSymmetry
from tests.laws import brute
from tests.laws.pairs import few_or_many, for_all, mixed, pairs, random_pair

TOLERANCE = 1e-5
GRID = np.linspace(0, 1, 101)


def rounding(theta, t) -> float:
    """What float32 logits leave open in the difference of two KLs."""
    both = brute.common(theta, t)
    return 1e-6 * (1 + np.abs(t[both] - theta[both]).max(initial=0))


def symmetric_or_explained(theta, t, alpha, status) -> None:
    if not brute.common(theta, t).any():
        assert status == AlphaStatus.NO_COMMON_SUPPORT
        return
    g = brute.slope(theta, t, alpha)
    if status == AlphaStatus.BOUNDARY:
        assert not (np.isfinite(theta) == np.isfinite(t)).all(), "only unequal supports have no interior root"
        assert (alpha == 0 and g >= -rounding(theta, t)) or (alpha == 1 and g <= rounding(theta, t))
        return
    assert status == AlphaStatus.OK
    assert abs(g) <= TOLERANCE + rounding(theta, t)
    q = brute.mix(theta, t, alpha)
    assert brute.kl(q, theta) - brute.kl(q, t) == pytest.approx(g, abs=1e-9), "the slope is the difference of the KLs"


@pytest.mark.parametrize("holes", [False, True])
@few_or_many
def test_both_kls_are_equal_or_the_status_says_why_not(count, holes):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        found = mixed(*pair)
        symmetric_or_explained(theta, t, found.alpha[0], found.status[0])

    for_all(count, pairs(holes=holes), law)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("rows", [40, pytest.param(4000, marks=pytest.mark.slow)])
def test_both_kls_are_equal_on_wide_rows(rows, scale):
    logits_theta, logits_t = random_pair(rows, 300, scale, seed=rows)
    found = mixed(logits_theta, logits_t)
    assert (found.status == AlphaStatus.OK).all()
    for row in range(rows):
        theta, t = brute.normalise(logits_theta[row]), brute.normalise(logits_t[row])
        symmetric_or_explained(theta, t, found.alpha[row], found.status[row])


@few_or_many
def test_alpha_minimises_log_z(count):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        found = mixed(*pair)
        if found.status[0] == AlphaStatus.NO_COMMON_SUPPORT:
            return
        values = np.array([brute.log_z(theta, t, alpha) for alpha in GRID])
        assert brute.log_z(theta, t, found.alpha[0]) <= values.min() + TOLERANCE  # a slope within it, over at most 1
        assert (np.diff(values, 2) >= -1e-9).all(), "log Z is convex"

    for_all(count, pairs(holes=True), law)


@few_or_many
def test_the_slope_rises_with_alpha_and_alpha_is_its_root(count):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        slopes = np.array([brute.slope(theta, t, alpha) for alpha in GRID])
        assert (np.diff(slopes) >= -1e-9).all()
        found = mixed(*pair)
        variance = brute.slope(theta, t, min(1, found.alpha[0] + 1e-4)) - brute.slope(theta, t, found.alpha[0])
        if variance > 1e-6:  # where the models differ enough for the root to be sharp
            assert found.alpha[0] == pytest.approx(brute.root(theta, t), abs=5e-3)

    for_all(count, pairs(), law)


@few_or_many
def test_swapping_the_models_gives_the_complement(count):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        there, back = mixed(pair[0], pair[1]), mixed(pair[1], pair[0])
        if there.status[0] == AlphaStatus.NO_COMMON_SUPPORT:
            return
        g = brute.slope(theta, t, there.alpha[0])
        swapped = brute.slope(theta, t, 1 - back.alpha[0])
        assert abs(g - swapped) <= 2 * (TOLERANCE + rounding(theta, t))
        if brute.slope(theta, t, 0.51) - brute.slope(theta, t, 0.49) > 0.01:
            assert there.alpha[0] == pytest.approx(1 - back.alpha[0], abs=2e-3)

    for_all(count, pairs(holes=True), law)


@few_or_many
def test_identical_models_meet_in_the_middle(count):
    def law(pair):
        found = mixed(pair[0], pair[0])
        assert (found.alpha[0], found.status[0]) == (0.5, AlphaStatus.OK)
        np.testing.assert_allclose(found.logq[0].numpy(), brute.normalise(pair[0]), rtol=2e-6, atol=2e-6)

    for_all(count, pairs(holes=True), law)


def test_an_end_is_chosen_where_the_supports_leave_no_root():
    """The student sits almost entirely where the teacher cannot: the common mass is smallest at the student's end."""
    theta, t = np.log([0.98, 0.01, 0.01]), np.array([-np.inf, np.log(0.5), np.log(0.5)])
    found = mixed(theta.astype(np.float32), t.astype(np.float32))
    assert (found.alpha[0], found.status[0]) == (0.0, AlphaStatus.BOUNDARY)
    swapped = mixed(t.astype(np.float32), theta.astype(np.float32))
    assert (swapped.alpha[0], swapped.status[0]) == (1.0, AlphaStatus.BOUNDARY)


def test_a_row_is_solved_as_if_it_were_alone():
    """Nearly equal pairs with peaks beside pairs far apart: easy rows stand still while the others go on."""
    rng = np.random.default_rng(0)
    kinds = np.float32([0, 0, 0, -12, 12, 1e-3, 5, -11.25, 10.5])
    for size in (3, 5, 9):
        theta, t = (rng.choice(kinds, (256, size)) + (rng.random((256, size)) < 0.3) * rng.normal(0, 3, (256, size))
                    for _ in range(2))
        t = np.where(rng.random((256, size)) < rng.random((256, 1)), theta, t)
        pair = pair_of(*(torch.tensor(side, dtype=torch.float32) for side in (theta, t)))
        found = KLSymmetry(AlphaOptions()).solve(pair, TOLERANCE)
        for row in range(256):
            both = tuple(brute.normalise(side[row].double().numpy()) for side in (pair.theta_B_V, pair.t_B_V))
            symmetric_or_explained(*both, found.alpha_B[row].item(), found.status_B[row].item())
        alone = [KLSymmetry(AlphaOptions()).solve(pair.rows(torch.tensor([row])), TOLERANCE).alpha_B.item()
                 for row in range(256)]
        assert found.alpha_B.tolist() == alone
