"""ESS balance and reverse KL symmetry meet their own conditions, or a status says why they cannot."""

import numpy as np
import pytest
import torch

from qstar_core.mixture.alpha import METHODS, AlphaOptions, AlphaStatus, method_of
from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, mixed, pairs, random_pair
from tests.laws.test_kl_symmetry import TOLERANCE, rounding

EQUATIONS = ["kl_symmetry", "ess_balance", "reverse_kl_symmetry"]
MISSING = -1e7  # a log-probability so small that the limit is reached to three digits


def both(pair):
    return tuple(map(brute.normalise, pair))


@pytest.mark.parametrize("bound", [2**-7, 2.0, 12.0])
@few_or_many
def test_at_the_ess_root_both_effective_sample_sizes_are_equal(count, bound):
    def law(pair):
        theta, t = both(pair)
        found = mixed(*pair, method="ess_balance")
        assert found.status[0] == AlphaStatus.OK
        alpha = found.alpha[0]
        gap = brute.log_ess_ratio(theta, t, alpha)
        assert abs(gap) <= TOLERANCE + 4 * rounding(theta, t)
        q = brute.mix(theta, t, alpha)
        assert np.log(brute.ess(theta, q)) - np.log(brute.ess(t, q)) == pytest.approx(gap, abs=1e-9)
        assert found.solution.residual_B[0].item() == pytest.approx(gap, abs=1e-5 + 8 * rounding(theta, t))

    for_all(count, pairs(bound=bound), law)


@pytest.mark.parametrize("bound", [2**-7, 2.0, 12.0])
@few_or_many
def test_at_the_reverse_root_both_models_are_equally_far_from_q(count, bound):
    def law(pair):
        theta, t = both(pair)
        found = mixed(*pair, method="reverse_kl_symmetry")
        assert found.status[0] == AlphaStatus.OK
        gap = brute.reverse_gap(theta, t, found.alpha[0])
        assert abs(gap) <= TOLERANCE + rounding(theta, t)
        assert found.solution.residual_B[0].item() == pytest.approx(gap, abs=2e-6 + 2 * rounding(theta, t))

    for_all(count, pairs(bound=bound), law)


@pytest.mark.parametrize("method", ["ess_balance", "reverse_kl_symmetry"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_wide_rows_are_solved_to_the_root_that_bisection_finds(method, scale):
    root = {"ess_balance": brute.ess_root, "reverse_kl_symmetry": brute.reverse_root}[method]
    theta, t = random_pair(30, 300, scale, seed=21)
    found = mixed(theta, t, method=method)
    assert (found.status == AlphaStatus.OK).all()
    for row in range(30):
        assert found.alpha[row] == pytest.approx(root(*both((theta[row], t[row]))), abs=2e-4)


@pytest.mark.parametrize("method", EQUATIONS)
def test_peaks_as_trained_models_have_them_are_solved(method):
    """p = 1 − 1e-9 on different tokens, on the same one, and logits of ten thousand."""
    sure = float(np.log(1e9))
    for theta, t in (([sure, 0, 0, 0], [0, sure, 0, 0]), ([sure, 0, 1, 0], [sure, 1, 0, 0]),
                     ([1e4, 0, 0, -1e4], [9999, 1e4, 0, -1e4]), ([0, 1e-40, 0, 0], [1e-40, 0, 1e-45, 0])):
        rows = np.array(theta, dtype=np.float32), np.array(t, dtype=np.float32)
        exact = both(rows)
        found = mixed(*rows, method=method)
        assert found.status[0] == AlphaStatus.OK
        condition = {"kl_symmetry": brute.slope, "ess_balance": brute.log_ess_ratio,
                     "reverse_kl_symmetry": brute.reverse_gap}[method]
        assert abs(condition(*exact, found.alpha[0])) <= TOLERANCE + 4 * rounding(*exact)


@pytest.mark.parametrize("method", EQUATIONS)
@few_or_many
def test_swapping_the_models_turns_alpha_over(count, method):
    def law(pair):
        theta, t = both(pair)
        there, back = mixed(*pair, method=method), mixed(pair[1], pair[0], method=method)
        assert there.status[0] == back.status[0]
        if there.status[0] == AlphaStatus.NO_COMMON_SUPPORT:
            return
        if brute.total_variation(theta, t) > 0.02:  # else every α is within the tolerance
            assert there.alpha[0] == pytest.approx(1 - back.alpha[0], abs=5e-3)

    for_all(count, pairs(bound=8.0, holes=True), law)


@pytest.mark.parametrize("method", EQUATIONS)
@few_or_many
def test_identical_models_meet_in_the_middle(count, method):
    def law(pair):
        found = mixed(pair[0], pair[0], method=method)
        assert (found.alpha[0], found.status[0]) == (0.5, AlphaStatus.OK)

    for_all(count, pairs(holes=True), law)


def test_nearly_identical_models_meet_near_the_middle():
    """Both KLs shrink with the square of the distance; rounding may not decide between them."""
    theta, t = random_pair(200, 50, 1.0, seed=31)
    close = (theta + 1e-4 * (t - theta)).astype(np.float32)
    found = mixed(theta, close, method="reverse_kl_symmetry")
    assert np.abs(found.alpha - 0.5).max() < 1e-2


@pytest.mark.parametrize("method", ["ess_balance", "reverse_kl_symmetry"])
@few_or_many
def test_where_supports_differ_alpha_is_the_limit_and_the_status_says_so(count, method):
    """The limit of the roots as the probabilities that are missing go to 0 together."""
    root = {"ess_balance": brute.ess_root, "reverse_kl_symmetry": brute.reverse_root}[method]

    def law(pair):
        theta, t = both(pair)
        found = mixed(*pair, method=method)
        shared = brute.common(theta, t)
        if not shared.any():
            assert found.status[0] == AlphaStatus.NO_COMMON_SUPPORT
            return
        differ = (np.isfinite(theta) != np.isfinite(t)).any()
        assert found.status[0] == (AlphaStatus.BOUNDARY if differ else AlphaStatus.OK)
        assert np.isinf(found.solution.residual_B[0].item()) == differ
        if differ:
            tiny = brute.nearly(theta, MISSING), brute.nearly(t, MISSING)
            assert found.alpha[0] == pytest.approx(root(*tiny), abs=2e-3)

    for_all(count, pairs(bound=4.0, holes=True), law)


@pytest.mark.parametrize(("method", "both_lost"), [("ess_balance", 0.5), ("reverse_kl_symmetry", 0.25)])
def test_the_ends_by_hand(method, both_lost):
    student_loses = mixed(np.log([0.5, 0.3, 0.2]).astype(np.float32), [0.0, 0.0, NOWHERE], method=method)
    teacher_loses = mixed([0.0, 0.0, NOWHERE], np.log([0.5, 0.3, 0.2]).astype(np.float32), method=method)
    theta = np.array([np.log(0.4), np.log(0.3), NOWHERE, np.log(0.3)], dtype=np.float32)
    t = np.array([np.log(0.8), NOWHERE, np.log(0.2), NOWHERE], dtype=np.float32)
    found = mixed(theta, t, method=method)
    assert (student_loses.alpha[0], teacher_loses.alpha[0]) == (0.0, 1.0)
    assert found.alpha[0] == pytest.approx(both_lost, abs=1e-6), "0.6 of the student and 0.2 of the teacher are lost"
    assert {one.status[0] for one in (student_loses, teacher_loses, found)} == {AlphaStatus.BOUNDARY}


def test_the_ess_root_lies_on_the_side_of_the_kl_root_and_further_out():
    """Two methods, not one: highly correlated, but the ESS root is two to three times as far from ½."""
    generator = np.random.default_rng(17)
    theta = generator.normal(0, generator.uniform(0.5, 3, (600, 1)), (600, 60)).astype(np.float32)
    t = (theta + generator.normal(0, generator.uniform(0.3, 2, (600, 1)), (600, 60))).astype(np.float32)
    kl, ess = (mixed(theta, t, method=method).alpha - 0.5 for method in ("kl_symmetry", "ess_balance"))
    clear = np.abs(kl) > 0.01
    assert clear.sum() > 200
    assert (np.sign(kl) == np.sign(ess))[clear].mean() > 0.98
    assert (np.abs(ess) > np.abs(kl))[clear].mean() > 0.95
    assert np.corrcoef(kl, ess)[0, 1] > 0.8
    assert 1.5 < np.median(np.abs(ess)[clear] / np.abs(kl)[clear]) < 3.5


def test_an_ess_root_that_cannot_be_reached_is_not_called_solved():
    theta, t = random_pair(200, 300, 3.0, seed=4)
    found = mixed(theta, t, method="ess_balance", tolerance=1e-300)
    assert (found.status == AlphaStatus.NOT_CONVERGED).any()
    assert np.isfinite(found.alpha).all()


def test_the_residual_is_the_methods_own_and_the_kl_difference_is_kept_beside_it():
    theta, t = random_pair(60, 30, 2.0, seed=5)
    for name in METHODS:
        found = mixed(theta, t, method=name)
        for row in range(0, 60, 7):
            exact = both((theta[row], t[row]))
            alpha = found.alpha[row]
            assert found.solution.g_B[row].item() == pytest.approx(brute.slope(*exact, alpha), abs=1e-4)
            own = {"ess_balance": brute.log_ess_ratio, "reverse_kl_symmetry": brute.reverse_gap}.get(name, brute.slope)
            assert found.solution.residual_B[row].item() == pytest.approx(own(*exact, alpha), abs=1e-4)
    symmetric = mixed(theta, t, method="kl_symmetry").solution.g_B.abs().max()
    balanced = mixed(theta, t, method="ess_balance").solution.g_B.abs().max()
    assert symmetric < 1e-4 < 0.05 < balanced, "the ESS root is not the KL root"


@pytest.mark.parametrize("method", EQUATIONS)
def test_a_row_of_an_equation_is_the_same_bits_in_any_batch(method):
    theta, t = random_pair(12, 103, 3.0, seed=9)
    theta[::3] *= 40
    theta[5, 7] = t[8, 2] = NOWHERE
    together = mixed(theta, t, method=method)
    for row in range(12):
        alone = mixed(theta[row], t[row], method=method)
        assert torch.equal(alone.diagnostics.stacked()[0], together.diagnostics.stacked()[row])


def test_methods_know_their_names():
    assert all(method_of(AlphaOptions(method=name)).name == name for name in METHODS)
