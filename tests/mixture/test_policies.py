"""Policies decide where they say they do, say so in the status, and leave every other token to the method."""

import numpy as np
import pytest
import torch

from qstar_core.config import AlphaSettings
from qstar_core.errors import ConfigError
from qstar_core.mixture.alpha import AlphaOptions, AlphaStatus
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.policies.chain import POLICIES, policies_of
from tests.laws import brute
from tests.laws.pairs import NOWHERE, random_pair

POLICY, OK = AlphaStatus.POLICY, AlphaStatus.OK


def settings(name: str = "constant", teacher_first_token: bool = False, teacher_special_tokens: bool = False,
             **options: object) -> AlphaSettings:
    return AlphaSettings(policy={"name": name, "options": options}, teacher_first_token=teacher_first_token,
                         teacher_special_tokens=teacher_special_tokens)


def step(theta, t, positions, alpha: AlphaSettings, special: frozenset[int] = frozenset(), **options: object):
    keys = torch.arange(len(theta)) * 31
    mixer = Mixer(AlphaOptions(**options), policies=policies_of(alpha, special))
    return mixer.step(torch.tensor(theta), torch.tensor(t), keys, torch.as_tensor(positions))


def is_model(found, row: int, model: str) -> None:
    """The pure model with its own diagnostics."""
    other = "t" if model == "theta" else "theta"
    assert found.alpha[row] == (1.0 if model == "t" else 0.0)
    assert found.logq[row] == getattr(found, f"logp_{model}")[row]
    assert (getattr(found, f"kl_{model}")[row], found.log_z[row]) == (0, 0)
    assert getattr(found, f"ess_{model}")[row] == pytest.approx(1)
    assert getattr(found, f"kl_{other}")[row] >= 0


def test_the_constant_policy_is_the_method_as_it_is():
    theta, t = random_pair(20, 15, 2.0, seed=1)
    plain = Mixer(AlphaOptions()).step(torch.tensor(theta), torch.tensor(t), torch.arange(20) * 31, torch.arange(20))
    found = step(theta, t, torch.arange(20), settings())
    assert torch.equal(found.diagnostics.stacked(), plain.diagnostics.stacked())
    assert policies_of(AlphaSettings(), frozenset()) == ()


def test_a_ramp_blends_by_position():
    theta, t = (np.repeat(row, 9, axis=0) for row in random_pair(1, 15, 2.0, seed=2))
    solved = step(theta, t, torch.arange(9), settings()).diagnostics.alpha[0].item()
    found = step(theta, t, torch.arange(9), settings("by_position", tokens=4)).diagnostics
    shares = np.array([0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(found.alpha.numpy(), (1 - shares) * solved + shares, atol=1e-12)
    assert found.status.tolist() == [OK] + [POLICY] * 8
    is_model(found, 8, "t")
    back = step(theta, t, torch.arange(9), settings("by_position", alpha=0.0, tokens=2, start=1.0, end=0.5)).diagnostics
    np.testing.assert_allclose(back.alpha.numpy(), np.array([0, 0.25, *[0.5] * 7]) * solved, atol=1e-12)
    is_model(back, 0, "theta")


def test_every_number_of_a_blended_token_is_that_of_the_blended_alpha():
    theta, t = random_pair(12, 15, 2.0, seed=3)
    alpha = settings("by_position", alpha=0.9, tokens=10, start=0.3, end=0.8)
    found = step(theta, t, torch.arange(12), alpha)
    for row, token in enumerate(found.token_B.tolist()):
        exact = brute.normalise(theta[row]), brute.normalise(t[row])
        q = brute.mix(*exact, found.diagnostics.alpha[row].item())
        assert found.diagnostics.logq[row].item() == pytest.approx(q[token], abs=1e-4)
        assert found.diagnostics.kl_theta[row].item() == pytest.approx(brute.kl(q, exact[0]), abs=1e-4)
        assert found.diagnostics.kl_t[row].item() == pytest.approx(brute.kl(q, exact[1]), abs=1e-4)


@pytest.mark.parametrize(("who", "model"), [("student", "theta"), ("teacher", "t")])
def test_where_the_models_agree_one_of_them_decides(who, model):
    theta, t = random_pair(60, 15, 1.0, seed=4)
    t[::2] = theta[::2] + 0.05 * (t[::2] - theta[::2])
    solved = step(theta, t, torch.arange(60), settings()).diagnostics
    found = step(theta, t, torch.arange(60), settings("by_disagreement", threshold=0.1, follow=who)).diagnostics
    agree = [brute.total_variation(brute.normalise(theta[row]), brute.normalise(t[row])) <= 0.1 for row in range(60)]
    assert 10 < sum(agree) < 50
    for row, alike in enumerate(agree):
        if alike:
            assert found.status[row] == POLICY
            is_model(found, row, model)
        else:
            assert (found.alpha[row], found.status[row]) == (solved.alpha[row], solved.status[row])


def test_the_teacher_alone_decides_the_first_token_only():
    theta, t = random_pair(6, 15, 2.0, seed=5)
    found = step(theta, t, [0, 1, 2, 0, 5, 0], settings(teacher_first_token=True)).diagnostics
    assert (found.status == POLICY).tolist() == [True, False, False, True, False, True]
    for row in (0, 3, 5):
        is_model(found, row, "t")
    assert ((found.alpha > 0) & (found.alpha < 1)).tolist() == [False, True, True, False, True, False]


def test_the_teacher_alone_decides_where_it_would_say_a_control_token():
    theta, t = random_pair(40, 8, 2.0, seed=6)
    found = step(theta, t, torch.arange(40), settings(teacher_special_tokens=True), frozenset({2, 5})).diagnostics
    special = np.isin(t.argmax(1), [2, 5])
    assert 3 < special.sum() < 30
    np.testing.assert_array_equal(found.status.numpy() == POLICY, special)
    for row in np.flatnonzero(special):
        is_model(found, row, "t")


def test_the_teachers_rules_win_over_a_policy():
    theta, t = random_pair(3, 8, 2.0, seed=7)
    alpha = settings("by_disagreement", teacher_first_token=True, threshold=1.0, follow="student")
    found = step(theta, t, [0, 1, 2], alpha).diagnostics
    assert found.alpha.tolist() == [1, 0, 0]
    assert found.status.tolist() == [POLICY] * 3


def test_models_without_a_common_token_can_be_followed_but_not_blended():
    theta, t = np.array([[1.0, NOWHERE]] * 2, dtype=np.float32), np.array([[NOWHERE, 0.0]] * 2, dtype=np.float32)
    first = step(theta, t, [0, 1], settings(teacher_first_token=True))
    assert first.disjoint_B.tolist() == [False, True]
    assert first.token_B[0] == 1
    is_model(first.diagnostics, 0, "t")
    ramp = step(theta, t, [0, 1], settings("by_position", alpha=1.0, tokens=2, start=0.5, end=1.0))
    assert ramp.disjoint_B.tolist() == [True, True]


def test_a_policy_is_not_bound_by_the_bounds_of_the_method():
    theta, t = random_pair(4, 8, 2.0, seed=8)
    found = step(theta, t, [0, 1, 0, 1], settings(teacher_first_token=True), low=0.2, high=0.25).diagnostics
    assert found.alpha[0] == found.alpha[2] == 1
    assert all(0.2 <= found.alpha[row] <= 0.25 for row in (1, 3))


@pytest.mark.parametrize(("name", "options", "told"), [
    ("sometimes", {}, "by_position"), ("constant", {"alpha": 1}, "options.alpha"),
    ("by_position", {"tokens": 0}, "options.tokens"), ("by_disagreement", {"follow": "both"}, "options.follow"),
])
def test_a_policy_that_does_not_exist_or_fit_is_refused(name, options, told):
    with pytest.raises(ConfigError, match=told):
        policies_of(settings(name, **options), frozenset())


def test_policies_know_their_names():
    assert set(POLICIES) == {"constant", "by_position", "by_disagreement"}
