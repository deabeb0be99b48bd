"""The user's bounds, the registry of methods, and temperature."""

import numpy as np
import pytest
import torch

from qstar_core.errors import ConfigError
from qstar_core.mixture.alpha import METHODS, AlphaOptions, AlphaStatus, method_of
from qstar_core.mixture.mixer import Mixer
from tests.laws import brute
from tests.laws.pairs import NOWHERE, mixed, random_pair


def test_a_bound_counts_only_where_it_moved_alpha():
    theta, t = random_pair(200, 20, 2.0, seed=2)
    free, bound = mixed(theta, t), mixed(theta, t, low=0.4, high=0.6)
    moved = (free.alpha < 0.4) | (free.alpha > 0.6)
    assert moved.any()
    assert not moved.all()
    np.testing.assert_array_equal(bound.status == AlphaStatus.CLAMPED, moved)
    np.testing.assert_array_equal(bound.status[~moved], free.status[~moved])
    np.testing.assert_array_equal(bound.alpha, free.alpha.clip(0.4, 0.6))


def test_a_fixed_alpha_on_its_bound_is_not_clamped():
    assert mixed([0.0, 1.0], [1.0, 0.0], method="fixed", fixed=0.3, low=0.3).status[0] == AlphaStatus.OK
    assert mixed([0.0, 1.0], [1.0, 0.0], method="fixed", fixed=0.3, low=0.5).status[0] == AlphaStatus.CLAMPED


def test_the_residual_is_measured_at_the_clamped_alpha():
    theta, t = random_pair(50, 20, 2.0, seed=3)
    found = mixed(theta, t, low=0.8)
    for row in range(50):
        exact = brute.slope(brute.normalise(theta[row]), brute.normalise(t[row]), found.alpha[row])
        assert found.solution.g_B[row].item() == pytest.approx(exact, abs=1e-4)


def test_what_stays_above_the_tolerance_is_not_called_solved():
    """No float64 sum is exactly zero on every one of these rows."""
    theta, t = random_pair(200, 300, 3.0, seed=4)
    found = mixed(theta, t, tolerance=1e-300)
    assert (found.status == AlphaStatus.NOT_CONVERGED).any()
    assert np.isfinite(found.alpha).all()


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match=r"median.*kl_symmetry"):
        method_of(AlphaOptions(method="median"))
    assert set(METHODS) == {"fixed", "entropy", "confidence", "kl_symmetry", "ess_balance", "reverse_kl_symmetry"}


@pytest.mark.parametrize("temperature", [0.5, 0.9, 1.0, 3.0])
@pytest.mark.parametrize("method", ["kl_symmetry", "entropy", "fixed"])
def test_temperature_tempers_what_is_solved_and_drawn_but_not_what_is_recorded(temperature, method):
    theta, t = random_pair(30, 12, 2.0, seed=6)
    theta[:, 3] = t[:, 3] = NOWHERE
    keys = torch.arange(30)
    step = Mixer(AlphaOptions(method), temperature).step(torch.tensor(theta), torch.tensor(t), keys, keys)
    found = step.diagnostics
    for row, token in enumerate(step.token_B.tolist()):
        plain_theta, plain_t = brute.normalise(theta[row]), brute.normalise(t[row])
        warm_theta = brute.normalise(theta[row].astype(np.float64) / temperature)
        warm_t = brute.normalise(t[row].astype(np.float64) / temperature)
        alpha = found.alpha[row].item()
        q = brute.mix(warm_theta, warm_t, alpha)
        if method == "kl_symmetry":
            assert abs(brute.slope(warm_theta, warm_t, alpha)) < 1e-4
        assert found.token[row] == token
        assert found.logp_theta[row].item() == pytest.approx(plain_theta[token], abs=1e-5)
        assert found.logp_t[row].item() == pytest.approx(plain_t[token], abs=1e-5)
        assert found.logq[row].item() == pytest.approx(q[token], abs=1e-4)
        assert found.kl_theta[row].item() == pytest.approx(brute.kl(q, warm_theta), abs=1e-4)
        assert found.log_z[row].item() == pytest.approx(brute.log_z(warm_theta, warm_t, alpha), abs=1e-4)


def test_diagnostics_do_not_change_the_token():
    theta, t = random_pair(50, 30, 2.0, seed=8)
    keys = torch.arange(50)
    told, silent = (Mixer(AlphaOptions(), diagnostics=wanted).step(torch.tensor(theta), torch.tensor(t), keys, keys)
                    for wanted in (True, False))
    assert silent.diagnostics is None
    assert torch.equal(told.token_B, silent.token_B)
