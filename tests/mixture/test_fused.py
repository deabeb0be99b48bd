"""The compiled passes against the plain ones: the same tokens and, within float noise, the same numbers."""

import logging
import shutil

import numpy as np
import pytest
import torch

from qstar_core.config import AlphaSettings, SupportSettings
from qstar_core.errors import EngineError
from qstar_core.mixture import fused
from qstar_core.mixture.alpha import METHODS, AlphaOptions, AlphaStatus
from qstar_core.mixture.fused import is_fused
from qstar_core.mixture.geometric import pair_of, survey
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.policies.chain import policies_of
from qstar_core.mixture.support import SupportCut
from tests.laws import brute
from tests.laws.pairs import NOWHERE, random_pair

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")

VOCAB = 1024  # four parts to the race


def rows(count: int, seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    theta, t = random_pair(count, VOCAB, scale, seed)
    return torch.tensor(theta), torch.tensor(theta + 0.3 * (t - theta))


def edge_rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Peaks of 1 − 1e-9, holes, logits of ten thousand, subnormals, ties, no distribution, nothing in common."""
    theta, t = rows(14, seed=3)
    theta[0], t[0] = 0.0, 0.0
    theta[0, 5] = t[0, 9] = np.log(1e9 * VOCAB)
    theta[1, ::2] = NOWHERE
    t[2, 1::3] = NOWHERE
    theta[3] *= 3000
    t[4] *= 3000
    theta[5], t[5] = 1e-40, -1e-40
    theta[6] = t[6] = torch.arange(VOCAB) % 3
    theta[7, 2], t[8, 3], theta[9], t[10] = torch.nan, torch.inf, NOWHERE, NOWHERE
    theta[11, ::2] = t[11, 1::2] = NOWHERE
    theta[12, :] = t[12, :] = NOWHERE
    theta[12, 4] = t[12, 4] = 1.0
    return theta, t


def both(theta, t, keys=None, positions=None, **options):
    keys = torch.arange(len(theta)) * 7919 if keys is None else keys
    positions = torch.arange(len(theta)) % 5 if positions is None else positions
    method = options.pop("method", "kl_symmetry")
    return [Mixer(AlphaOptions(method), passes=passes, **options).step(theta, t, keys, positions)
            for passes in ("on", "off")]


def assert_same(compiled, plain, well: torch.Tensor | None = None) -> None:
    """`alpha` is loose where the models hardly differ, what follows from it is not."""
    well = torch.ones_like(plain.disjoint_B) if well is None else well
    assert torch.equal(compiled.failed_theta_B, plain.failed_theta_B)
    assert torch.equal(compiled.failed_t_B, plain.failed_t_B)
    assert torch.equal(compiled.disjoint_B, plain.disjoint_B)
    assert torch.equal(compiled.token_B[well], plain.token_B[well])
    for name in ("logp_theta", "logp_t", "logq", "kl_theta", "kl_t", "ess_theta", "ess_t", "log_z", "tv",
                 "entropy_theta", "entropy_t", "status"):
        ours, theirs = (getattr(step.diagnostics, name)[well].double() for step in (compiled, plain))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_the_same_compiled(method):
    assert_same(*both(*rows(40, seed=1), method=method))


@pytest.mark.parametrize("count", [1, 2, 7, 33])
def test_any_number_of_rows_goes_through_the_same_kernels(count):
    theta, t = rows(33, seed=2)
    torch._dynamo.utils.counters.clear()
    both(theta, t)
    whole, plain = both(theta, t)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    part, _ = both(theta[:count].clone(), t[:count].clone())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before, "compiled anew"
    assert torch.equal(part.diagnostics.stacked(), whole.diagnostics.stacked()[:count])
    assert_same(whole, plain)


def test_edges_are_the_same_compiled_and_disturb_nobody():
    theta, t = edge_rows()
    compiled, plain = both(theta, t)
    well = ~(plain.failed_theta_B | plain.failed_t_B | plain.disjoint_B)
    assert plain.failed_theta_B.tolist() == [row in (7, 9) for row in range(14)]
    assert plain.failed_t_B.tolist() == [row in (8, 10) for row in range(14)]
    assert plain.disjoint_B[11]
    assert_same(compiled, plain, well)
    assert ((compiled.token_B >= 0) & (compiled.token_B < VOCAB)).all()


def test_logits_of_float64_are_measured_alike():
    theta, t = rows(6, seed=4)
    assert_same(*both(theta.double(), t.double()))


@pytest.mark.parametrize("hole", [slice(0, 1), slice(None)])
def test_a_neighbour_with_holes_changes_no_bit(hole):
    theta, t = rows(6, seed=8)
    whole, _ = both(theta, t)
    theta[5, hole] = t[5, hole] = NOWHERE
    beside, _ = both(theta, t)
    assert torch.equal(beside.diagnostics.stacked()[:5], whole.diagnostics.stacked()[:5])


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1, 0.01])
def test_the_condition_holds_at_any_temperature(temperature):
    theta, t = (logits + 15.0 for logits in rows(40, seed=9))
    for step in both(theta, t, temperature=temperature):
        for row, alpha in enumerate(step.diagnostics.alpha.tolist()):
            cold = [brute.normalise(logits[row].numpy().astype(np.float64) / temperature) for logits in (theta, t)]
            assert step.diagnostics.status[row] != AlphaStatus.OK or abs(brute.slope(*cold, alpha)) <= 2.5e-5


def test_compiled_sums_are_those_of_the_theory():
    theta, t = rows(12, seed=5)
    pair = pair_of(theta, t, fused=True)
    step, _ = both(theta, t)
    found = step.diagnostics
    for row in range(12):
        exact = brute.normalise(theta[row].numpy()), brute.normalise(t[row].numpy())
        alpha = found.alpha[row].item()
        assert abs(brute.slope(*exact, alpha)) <= 1.2e-5
        q = brute.mix(*exact, alpha)
        assert found.status[row] == AlphaStatus.OK
        assert found.log_z[row].item() == pytest.approx(brute.log_z(*exact, alpha), abs=2e-5)
        assert found.kl_t[row].item() == pytest.approx(brute.kl(q, exact[1]), abs=3e-5)
        assert found.ess_theta[row].item() == pytest.approx(brute.ess(exact[0], q), rel=1e-3)
        assert found.ess_t[row].item() == pytest.approx(brute.ess(exact[1], q), rel=1e-3)
        assert found.entropy_t[row].item() == pytest.approx(brute.entropy(exact[1]), abs=1e-4)
    assert survey(pair, found.alpha).tv_B.tolist() == pytest.approx(found.tv.tolist())


def test_limits_temperature_powers_and_policies_are_the_same_compiled():
    policies = policies_of(AlphaSettings(policy={"name": "by_disagreement", "options": {"threshold": 0.2}},
                                         teacher_first_token=True), frozenset())
    compiled, plain = both(*rows(40, seed=6), temperature=0.8, sharpen=1.7, policies=policies,
                           support=SupportCut(SupportSettings(top_p=0.95)))
    assert (plain.diagnostics.status == AlphaStatus.POLICY).any()
    assert_same(compiled, plain)


@pytest.mark.parametrize("passes", ["on", "off"])
def test_a_known_proposal_changes_nothing(passes):
    theta, t = rows(60, seed=7)
    keys, positions = torch.arange(60) * 31, torch.arange(60) % 7
    mixer = Mixer(AlphaOptions(), 0.9, support=SupportCut(SupportSettings(top_k=600)), passes=passes)
    proposed = mixer.propose(theta, keys, positions)
    kept = proposed.clone()
    alone, given = (mixer.step(theta, t, keys, positions, known) for known in (None, proposed))
    assert torch.equal(alone.token_B, given.token_B)
    assert torch.equal(proposed, kept), "the caller's tokens are left as they are"
    assert (alone.token_B != proposed).any()
    assert (alone.token_B == proposed).double().mean() > 0.5
    wrong = mixer.step(theta, t, keys, positions, (proposed + 1) % VOCAB)
    assert not torch.equal(wrong.token_B, alone.token_B), "a proposal is used, not drawn again"


def test_whether_to_compile_is_decided_once_and_said_once(monkeypatch, caplog):
    cpu = torch.device("cpu")
    assert not is_fused("off", cpu, 10**6)
    assert not is_fused("auto", cpu, 1000)
    assert is_fused("auto", cpu, 49_152)
    assert is_fused("on", cpu, 8)
    with caplog.at_level(logging.WARNING):
        assert not is_fused("auto", torch.device("meta"), 49_152)
    assert [record.getMessage() for record in caplog.records] == [
        "the mixing step is not compiled: there is no Triton for meta"]
    monkeypatch.setattr(fused, "_missing", lambda device: "C++ compiler")
    with pytest.raises(EngineError, match=r"engine\.compile = on.*C\+\+ compiler"):
        is_fused("on", cpu, 8)
