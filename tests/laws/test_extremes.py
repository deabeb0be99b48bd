"""Logits at the edge of float32, rows that are no distribution, and what must not change when nothing has changed."""

import numpy as np
import pytest
import torch

from qstar_core.mixture.alpha import METHODS, AlphaOptions, AlphaStatus
from qstar_core.mixture.mixer import Mixer
from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, mixed, pairs, random_pair

SURE = float(np.log(1e9))
CASES = {
    "peaks on different tokens": ([SURE, 0, 0, 0], [0, SURE, 0, 0]),
    "peaks on one token": ([SURE, 0, 1, 0], [SURE, 1, 0, 0]),
    "ties": ([1, 1, 1, 1], [2, 2, 0, 0]),
    "ten thousand": ([1e4, 0, 0, -1e4], [9999, 1e4, 0, -1e4]),
    "subnormal": ([1e-40, -1e-40, 0, 0], [0, 1e-40, 1e-45, 0]),
    "common padding": ([1, 2, NOWHERE, NOWHERE], [2, 1, NOWHERE, NOWHERE]),
    "one common token": ([5, 0, NOWHERE, NOWHERE], [NOWHERE, 0, 3, NOWHERE]),
    "one possible token": ([0, NOWHERE, NOWHERE, NOWHERE], [0, NOWHERE, NOWHERE, NOWHERE]),
}


@pytest.mark.parametrize("case", CASES)
def test_an_extreme_pair_is_solved_like_any_other(case):
    theta32, t32 = (np.array(row, dtype=np.float32) for row in CASES[case])
    theta, t = brute.normalise(theta32), brute.normalise(t32)
    found = mixed(theta32, t32)
    assert found.status[0] in (AlphaStatus.OK, AlphaStatus.BOUNDARY)
    alpha = found.alpha[0]
    both = brute.common(theta, t)
    scale = 1 + np.abs(t[both] - theta[both]).max()
    if found.status[0] == AlphaStatus.OK:
        assert abs(brute.slope(theta, t, alpha)) <= 1e-5 + 1e-6 * scale
    q = brute.mix(theta, t, alpha)
    np.testing.assert_allclose(found.logq[0].numpy(), q, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(found.kl_theta[0], brute.kl(q, theta), rtol=1e-3, atol=1e-6 * scale)
    np.testing.assert_allclose(found.kl_t[0], brute.kl(q, t), rtol=1e-3, atol=1e-6 * scale)


def test_far_apart_peaks_meet_half_way():
    found = mixed(*(np.array(row, dtype=np.float32) for row in CASES["peaks on different tokens"]))
    assert found.alpha[0] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(found.logq[0, :2].exp().numpy(), 0.5, atol=1e-3)


@few_or_many
def test_adding_a_constant_to_the_logits_changes_nothing(count):
    def law(pair):
        here, there = mixed(*pair), mixed(pair[0] + np.float32(64), pair[1] - np.float32(32))
        if here.status[0] == AlphaStatus.NO_COMMON_SUPPORT:
            assert there.status[0] == AlphaStatus.NO_COMMON_SUPPORT
            return
        np.testing.assert_allclose(here.logq[0].numpy(), there.logq[0].numpy(), rtol=2e-3, atol=2e-3)

    for_all(count, pairs(bound=4.0, holes=True), law)


def _step(theta, t, **options):
    keys = torch.arange(len(theta))
    return Mixer(AlphaOptions(**options)).step(torch.tensor(theta), torch.tensor(t), keys, torch.zeros_like(keys))


BAD = {"nan": np.nan, "+inf": np.inf}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [*BAD, "empty"])
def test_a_row_that_is_no_distribution_is_flagged_and_disturbs_nobody(bad, method):
    theta, t = random_pair(6, 11, 2.0, seed=1)
    good = _step(theta, t, method=method)
    broken_theta, broken_t = theta.copy(), t.copy()
    if bad == "empty":
        broken_theta[1], broken_t[3], broken_theta[4], broken_t[4] = NOWHERE, NOWHERE, NOWHERE, NOWHERE
    else:
        broken_theta[1, 2] = broken_t[3, 0] = broken_theta[4, 5] = broken_t[4, 6] = BAD[bad]
    step = _step(broken_theta, broken_t, method=method)
    assert step.failed_theta_B.tolist() == [False, True, False, False, True, False]
    assert step.failed_t_B.tolist() == [False, False, False, True, True, False]
    well = [0, 2, 5]
    assert step.token_B[well].tolist() == good.token_B[well].tolist()
    assert torch.equal(step.diagnostics.stacked()[well], good.diagnostics.stacked()[well])
    assert ((step.token_B >= 0) & (step.token_B < 11)).all(), "even a meaningless token is an id"


@pytest.mark.parametrize("vocab", [8, 103, 1000])
def test_a_row_is_the_same_bits_in_any_batch(vocab):
    """Rows that need the second, wider solve and rows that are rejected are picked out of the batch."""
    theta, t = random_pair(12, vocab, 3.0, seed=vocab)
    theta[::3] *= 40
    keys, position = torch.arange(12) * 7919, torch.arange(12)
    mixer = Mixer(AlphaOptions())
    together = mixer.step(torch.tensor(theta), torch.tensor(t), keys, position)
    for row in range(12):
        alone = mixer.step(torch.tensor(theta[row:row + 1]), torch.tensor(t[row:row + 1]), keys[row:row + 1],
                           position[row:row + 1])
        assert torch.equal(alone.diagnostics.stacked()[0], together.diagnostics.stacked()[row])
