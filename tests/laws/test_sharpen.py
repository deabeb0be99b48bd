"""`sharpen` draws from q to a power; everything that is said of q stays as it was."""

import numpy as np
import pytest
import torch

from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer
from tests.laws import brute
from tests.laws.pairs import NOWHERE, random_pair
from tests.laws.test_draw import LAWS, p_value, rows, tally


def powered(q: np.ndarray, s: float) -> np.ndarray:
    return brute.normalise(np.where(np.isfinite(q), s * q, NOWHERE))


@pytest.mark.parametrize("s", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("name", ["near", "far", "both have holes"])
def test_draws_have_the_law_of_q_to_the_power_and_not_that_of_q(name, s):
    theta, t = (np.asarray(row, dtype=np.float32) for row in LAWS[name])
    mixer = Mixer(AlphaOptions(), diagnostics=False, sharpen=s)
    seen = tally(lambda key, at: mixer.step(rows(theta, len(key)), rows(t, len(key)), key, at).token_B, 20_000)
    exact = brute.normalise(theta), brute.normalise(t)
    q = brute.mix(*exact, brute.root(*exact))
    assert p_value(seen, np.exp(powered(q, s))) >= 0.01
    assert p_value(seen, np.exp(q)) < 1e-3


def test_only_the_recorded_log_q_is_sharpened():
    theta, t = random_pair(30, 12, 2.0, seed=6)
    keys = torch.arange(30)
    plain, sharp = (Mixer(AlphaOptions(), sharpen=s).step(torch.tensor(theta), torch.tensor(t), keys, keys)
                    for s in (1.0, 3.0))
    for name in ("alpha", "kl_theta", "kl_t", "ess_theta", "ess_t", "log_z", "tv", "status", "entropy_t"):
        assert torch.equal(getattr(plain.diagnostics, name), getattr(sharp.diagnostics, name)), name
    for row, token in enumerate(sharp.token_B.tolist()):
        q = brute.mix(brute.normalise(theta[row]), brute.normalise(t[row]), sharp.diagnostics.alpha[row].item())
        assert sharp.diagnostics.logq[row].item() == pytest.approx(powered(q, 3.0)[token], abs=1e-4)
