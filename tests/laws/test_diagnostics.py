"""KL, effective sample size, log Z and total variation of every token against sums written out in full."""

import numpy as np
import pytest

from qstar_core.mixture.alpha import METHODS, AlphaStatus
from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, mixed, pairs

NUMBERS = ["logp_theta", "logp_t", "alpha", "kl_theta", "kl_t", "ess_theta", "ess_t", "log_z", "tv",
           "entropy_theta", "entropy_t"]


@pytest.mark.parametrize("method", METHODS)
@few_or_many
def test_every_diagnostic_is_the_sum_it_stands_for(count, method):
    def law(pair):
        theta, t = map(brute.normalise, pair)
        found = mixed(*pair, method=method, fixed=0.7)
        if not brute.common(theta, t).any():
            assert found.status[0] == AlphaStatus.NO_COMMON_SUPPORT
            return
        alpha = found.alpha[0]
        q = brute.mix(theta, t, alpha)
        close = {"rtol": 3e-4, "atol": 3e-5}
        np.testing.assert_allclose(found.log_z[0], brute.log_z(theta, t, alpha), **close)
        np.testing.assert_allclose(found.kl_theta[0], brute.kl(q, theta), **close)
        np.testing.assert_allclose(found.kl_t[0], brute.kl(q, t), **close)
        np.testing.assert_allclose(found.tv[0], brute.total_variation(theta, t), **close)
        np.testing.assert_allclose(found.ess_theta[0], brute.ess(theta, q), rtol=1e-3, atol=1e-37)
        np.testing.assert_allclose(found.ess_t[0], brute.ess(t, q), rtol=1e-3, atol=1e-37)
        np.testing.assert_allclose(found.entropy_theta[0], brute.entropy(theta), **close)
        np.testing.assert_allclose(found.entropy_t[0], brute.entropy(t), **close)
        assert found.kl_theta[0] >= 0 <= found.kl_t[0]
        assert not any(np.isnan(getattr(found, name)[0]) for name in NUMBERS)

    for_all(count, pairs(holes=True), law)


@few_or_many
def test_the_ess_ratio_is_a_ratio_of_two_normalisers(count):
    """ESS_θ/ESS_t = Z(2−α)/Z(−α) where the supports agree."""
    def law(pair):
        theta, t = map(brute.normalise, pair)
        found = mixed(*pair)
        alpha = found.alpha[0]
        ratio = brute.log_z(theta, t, 2 - alpha) - brute.log_z(theta, t, -alpha)
        assert np.log(found.ess_theta[0]) - np.log(found.ess_t[0]) == pytest.approx(ratio, abs=1e-3)

    for_all(count, pairs(bound=6.0), law)


@few_or_many
def test_a_lost_part_of_a_model_leaves_it_no_effective_sample(count):
    def law(pair):
        theta, t = pair[0].copy(), np.abs(pair[1])
        t[0] = NOWHERE
        theta[1] = t[1] = 0.5
        nested, turned = mixed(theta, t), mixed(t, theta)
        assert nested.ess_theta[0] == 0 < nested.ess_t[0]
        assert turned.ess_t[0] == 0 < turned.ess_theta[0]
        assert np.isfinite([nested.kl_theta[0], nested.kl_t[0], turned.kl_theta[0], turned.kl_t[0]]).all()

    for_all(count, pairs(), law)


@pytest.mark.parametrize("method", METHODS)
def test_disjoint_models_are_said_to_be_disjoint(method):
    found = mixed([[0.0, 1.0, NOWHERE], [0.0, 0.0, 0.0]], [[NOWHERE, NOWHERE, 2.0], [1.0, 0.0, 0.0]], method=method)
    assert found.status[0] == AlphaStatus.NO_COMMON_SUPPORT
    assert found.status[1] != AlphaStatus.NO_COMMON_SUPPORT
    assert np.isfinite(found.alpha).all()
    assert np.isfinite(found.logq[1].numpy()).all()
