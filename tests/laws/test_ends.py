"""A fixed α = 0 is the student and α = 1 the teacher, whatever the other one cannot say."""

import numpy as np
import pytest

from qstar_core.mixture.alpha import AlphaStatus
from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, mixed, pairs


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@few_or_many
def test_a_pure_end_is_the_model_itself_with_its_own_diagnostics(count, alpha):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        model = t if alpha else theta
        found = mixed(*pair, method="fixed", fixed=alpha)
        np.testing.assert_allclose(found.logq[0].numpy(), model, rtol=2e-6, atol=2e-6)
        assert found.status[0] == AlphaStatus.OK
        assert found.log_z[0] == 0
        for name, other in (("theta", theta), ("t", t)):
            kl, ess = getattr(found, f"kl_{name}")[0], getattr(found, f"ess_{name}")[0]
            np.testing.assert_allclose(kl, brute.kl(model, other), rtol=2e-5, atol=2e-5, err_msg=f"kl_{name}")
            np.testing.assert_allclose(ess, brute.ess(other, model), rtol=2e-4, atol=1e-30, err_msg=f"ess_{name}")

    for_all(count, pairs(holes=True), law)


def test_the_pure_student_diverges_without_bound_from_a_teacher_that_cannot_follow():
    found = mixed([0.0, 0.0, 0.0], [0.0, 0.0, NOWHERE], method="fixed", fixed=0.0)
    assert found.kl_t[0] == np.inf
    assert found.kl_theta[0] == 0
    assert found.ess_theta[0] == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_disjoint_models_are_still_themselves_at_the_ends(alpha):
    found = mixed([0.0, 1.0, NOWHERE], [NOWHERE, NOWHERE, 2.0], method="fixed", fixed=alpha)
    assert found.status[0] == AlphaStatus.OK
    own, other = ("t", "theta") if alpha else ("theta", "t")
    assert (getattr(found, f"kl_{own}")[0], getattr(found, f"ess_{own}")[0]) == (0, pytest.approx(1))
    assert (getattr(found, f"kl_{other}")[0], getattr(found, f"ess_{other}")[0]) == (np.inf, 0)


def test_disjoint_models_have_no_mixture_even_where_a_bound_moves_a_pure_end_inside():
    found = mixed([0.0, NOWHERE], [NOWHERE, 0.0], method="fixed", fixed=1.0, high=0.5)
    assert found.status[0] == AlphaStatus.NO_COMMON_SUPPORT


@few_or_many
def test_between_the_ends_a_fixed_mixture_is_the_normalised_product(count):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        found = mixed(*pair, method="fixed", fixed=0.3)
        if not brute.common(theta, t).any():
            assert found.status[0] == AlphaStatus.NO_COMMON_SUPPORT
            return
        np.testing.assert_allclose(found.logq[0].numpy(), brute.mix(theta, t, 0.3), rtol=2e-6, atol=2e-6)

    for_all(count, pairs(holes=True), law)
