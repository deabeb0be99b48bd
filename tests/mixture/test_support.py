"""Support limits against a naive reading of their definitions, and what a cut leaves as it was."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from qstar_core.config import SupportSettings
from qstar_core.mixture.alpha import AlphaOptions, AlphaStatus
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.support import SupportCut
from tests.laws import brute
from tests.laws.pairs import NOWHERE, few_or_many, for_all, pairs, random_pair


def naive(logits: np.ndarray, limits: SupportSettings) -> set[int]:
    """The tokens that stay, by sorting and counting one at a time."""
    logp = brute.normalise(logits)
    ranked = sorted((token for token in range(len(logp)) if np.isfinite(logp[token])), key=lambda i: (-logits[i], i))
    stays = set(ranked if limits.top_k is None else ranked[:limits.top_k])
    mass, nucleus = 0.0, []
    for token in ranked:
        if mass >= limits.top_p:
            break
        nucleus.append(token)
        mass += np.exp(logp[token])
    likely = {token for token in ranked if logp[token] >= logp[ranked[0]] + np.log(max(limits.min_p, 1e-300))}
    return stays & set(nucleus if limits.top_p < 1 else ranked) & likely


def left(logits: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.isfinite(logits)).tolist())


def cut(theta, t, limits: SupportSettings) -> tuple[np.ndarray, np.ndarray]:
    found = [SupportCut(limits)(torch.tensor(np.atleast_2d(logits)), who)
             for logits, who in ((theta, "student"), (t, "teacher"))]
    return found[0][0].numpy(), found[1][0].numpy()


LIMITS = st.builds(SupportSettings, top_k=st.none() | st.integers(1, 10), top_p=st.floats(0.01, 1.0),
                   min_p=st.just(0.0) | st.floats(0.001, 1.0))


@few_or_many
def test_a_cut_keeps_exactly_what_its_definition_keeps(count):
    def law(given):
        (theta, t), limits = given
        for before, after in zip((theta, t), cut(theta, t, limits), strict=True):
            logp = brute.normalise(before)
            masses = np.cumsum(np.sort(np.exp(logp))[::-1])
            if np.abs(masses - limits.top_p).min() < 1e-5 or np.abs(
                    np.exp(logp - logp.max()) - limits.min_p).min() < 1e-6:
                continue  # rounding decides there
            gaps = np.diff(np.sort(before[np.isfinite(before)]))
            if ((gaps > 0) & (gaps < 1e-5)).any():
                continue  # equally likely in float32, not as logits
            assert left(after) == naive(before, limits)
            assert left(after), "a row never empties"
            np.testing.assert_array_equal(after[sorted(left(after))], before[sorted(left(after))])

    for_all(count, st.tuples(pairs(holes=True), LIMITS), law)


def test_the_token_that_crosses_is_kept_and_of_equal_ones_the_first():
    logits = np.log(np.array([0.1, 0.4, 0.3, 0.2], dtype=np.float32))
    assert left(cut(logits, logits, SupportSettings(top_p=0.41))[0]) == {1, 2}
    assert left(cut(logits, logits, SupportSettings(top_p=0.39))[0]) == {1}
    assert left(cut(logits, logits, SupportSettings(min_p=0.6))[0]) == {1, 2}
    ties = np.zeros(5, dtype=np.float32)
    for limits in (SupportSettings(top_k=2), SupportSettings(top_p=0.39)):
        assert left(cut(ties, ties, limits)[0]) == {0, 1}
    assert left(cut(ties, ties, SupportSettings(min_p=1.0))[0]) == {0, 1, 2, 3, 4}


def test_many_ties_are_ranked_by_id():
    """A vocabulary too wide for a sort to keep their order by chance."""
    logits = (np.arange(5000) % 3).astype(np.float32)
    for limits in (SupportSettings(top_k=2500), SupportSettings(top_p=0.8)):
        assert left(cut(logits, logits, limits)[0]) == naive(logits, limits)


def by_sorting(logits: np.ndarray, limits: SupportSettings) -> set[int]:
    """The definition, over the same float32 log-probabilities, by one full stable sort."""
    logp = torch.log_softmax(torch.tensor(logits), dim=-1)
    ranked, token = logp.sort(descending=True, stable=True)
    stays = torch.isfinite(ranked)
    stays[len(logits) if limits.top_k is None else limits.top_k:] = False
    if limits.top_p < 1:
        stays[1:] &= ranked.double().exp().cumsum(-1)[:-1] < limits.top_p
    return set(token[stays].tolist())


@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, 5.0])
@pytest.mark.parametrize("levels", [3, 40, 10**6])
def test_partial_ranking_keeps_what_a_full_sort_keeps(scale, levels):
    """Flat rows need every rank, steep ones a few, and few levels make ties at every cut."""
    generator = np.random.default_rng(int(levels + 10 * scale))
    logits = (np.round(generator.normal(0, 1, (6, 6000)) * levels) / levels * scale).astype(np.float32)
    logits[0, ::2] = NOWHERE
    for limits in (SupportSettings(top_p=0.05), SupportSettings(top_p=0.9), SupportSettings(top_p=0.9999),
                   SupportSettings(top_k=1), SupportSettings(top_k=700), SupportSettings(top_k=700, top_p=0.6)):
        found = SupportCut(limits)(torch.tensor(logits), "student").numpy()
        for row in range(6):
            assert left(found[row]) == by_sorting(logits[row], limits)


@pytest.mark.parametrize("who", ["both", "teacher", "student"])
def test_a_limit_cuts_whom_it_names(who):
    theta, t = random_pair(1, 9, 2.0, seed=1)
    after_theta, after_t = cut(theta, t, SupportSettings(apply_to=who, top_k=3))
    assert len(left(after_theta)) == (9 if who == "teacher" else 3)
    assert len(left(after_t)) == (9 if who == "student" else 3)


@pytest.mark.parametrize("method", ["kl_symmetry", "ess_balance", "reverse_kl_symmetry", "fixed"])
def test_what_is_mixed_is_cut_after_temperature_and_what_is_recorded_is_not(method):
    theta, t = random_pair(40, 12, 1.5, seed=2)
    limits, temperature = SupportSettings(top_k=8, top_p=0.95, min_p=0.005), 0.7
    keys = torch.arange(40)
    step = Mixer(AlphaOptions(method), temperature, support=SupportCut(limits)).step(
        torch.tensor(theta), torch.tensor(t), keys, keys)
    for row, token in enumerate(step.token_B.tolist()):
        kept = []
        for logits in (theta[row], t[row]):
            warm = logits.astype(np.float64) / temperature
            stays = sorted(naive(warm, limits))
            only = np.full(12, NOWHERE)
            only[stays] = warm[stays]
            kept.append(brute.normalise(only))
        found = step.diagnostics
        if found.status[row] == AlphaStatus.NO_COMMON_SUPPORT:
            assert not brute.common(*kept).any()
            continue
        q = brute.mix(*kept, found.alpha[row].item())
        assert found.logq[row].item() == pytest.approx(q[token], abs=1e-4)
        assert found.logp_theta[row].item() == pytest.approx(brute.normalise(theta[row])[token], abs=1e-5)
        assert found.logp_t[row].item() == pytest.approx(brute.normalise(t[row])[token], abs=1e-5)
        assert found.entropy_theta[row].item() == pytest.approx(brute.entropy(brute.normalise(theta[row])), abs=1e-4)
        assert found.entropy_t[row].item() == pytest.approx(brute.entropy(brute.normalise(t[row])), abs=1e-4)
        assert found.tv[row].item() == pytest.approx(brute.total_variation(*kept), abs=1e-4)


def test_limits_that_limit_nothing_are_no_limits():
    theta, t = random_pair(20, 12, 1.5, seed=3)
    keys = torch.arange(20)
    plain, limited = (Mixer(AlphaOptions(), support=support).step(torch.tensor(theta), torch.tensor(t), keys, keys)
                      for support in (None, SupportCut(SupportSettings())))
    assert torch.equal(plain.diagnostics.stacked(), limited.diagnostics.stacked())
    assert not SupportCut(SupportSettings(apply_to="teacher")).cuts


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_no_distribution_is_still_found_out(bad):
    theta, t = random_pair(4, 9, 2.0, seed=4)
    mixer = Mixer(AlphaOptions(), support=SupportCut(SupportSettings(top_k=5, top_p=0.9, min_p=0.01)))
    keys = torch.arange(4)
    good = mixer.step(torch.tensor(theta), torch.tensor(t), keys, keys)
    theta[1, 3] = t[2, 4] = bad
    t[3] = NOWHERE
    step = mixer.step(torch.tensor(theta), torch.tensor(t), keys, keys)
    assert step.failed_theta_B.tolist() == [False, True, False, False]
    assert step.failed_t_B.tolist() == [False, False, True, True]
    assert torch.equal(step.diagnostics.stacked()[0], good.diagnostics.stacked()[0])


def test_one_token_a_side_may_leave_nothing_in_common():
    step = Mixer(AlphaOptions(), support=SupportCut(SupportSettings(top_k=1))).step(
        torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.arange(2),
        torch.arange(2))
    assert step.disjoint_B.tolist() == [True, False]
