"""A drawn token is distributed as q, exactly, whatever the proposal; and a wrong α is noticed."""

import numpy as np
import pytest
import torch
from scipy import stats

from qstar_core.mixture.alpha import AlphaOptions, choose, method_of
from qstar_core.mixture.draw import coupled_draw, propose
from qstar_core.mixture.geometric import pair_of
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.target import target_of
from qstar_core.rng import sample_key
from tests.laws import brute
from tests.laws.pairs import NOWHERE

DRAWS = [20_000, pytest.param(2_000_000, marks=pytest.mark.slow)]
BLOCK = 100_000

_generator = np.random.default_rng(11)
NEAR = _generator.normal(0, 1.5, 8)
LAWS = {
    "near": (NEAR, NEAR + _generator.normal(0, 0.5, 8)),
    "far": (_generator.normal(0, 2, 8), _generator.normal(0, 2, 8)),
    "the same": (NEAR, NEAR),
    "the proposal has holes where q has mass": ([NOWHERE, 0, 1, NOWHERE, 0, 0, 2, 0], [2, 0, 1, 1, 0, 0, 0, 3]),
    "q has holes where the proposal has mass": ([3, 0, 1, 2, 0, 0, 0, 3], [NOWHERE, 0, 1, NOWHERE, 0, 0, 2, 0]),
    "both have holes": ([NOWHERE, 0, 1, 2, 0, NOWHERE, 2, 0], [1, NOWHERE, 1, NOWHERE, 0, 0, 0, 2]),
    "nothing in common": ([0, 1, 0, 1] + [NOWHERE] * 4, [NOWHERE] * 4 + [1, 0, 0.5, 0]),
    "a sure proposal": ([20, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]),
}


def tally(draw, count: int) -> np.ndarray:
    seen = np.zeros(8, dtype=np.int64)
    for start in range(0, count, BLOCK):
        key = torch.arange(start, min(start + BLOCK, count)) * 0x5DEECE66D + sample_key(0, "draws", 0)
        seen += np.bincount(draw(key, torch.full_like(key, 3)).numpy(), minlength=8)
    return seen


def p_value(seen: np.ndarray, law: np.ndarray) -> float:
    """χ² against a law; 0 where something impossible was seen."""
    possible = law > 0
    if seen[~possible].any():
        return 0.0
    expected = law[possible] / law[possible].sum() * seen.sum()
    return float(stats.chisquare(seen[possible], expected).pvalue) if possible.sum() > 1 else 1.0


def rows(logp: np.ndarray, count: int) -> torch.Tensor:
    return torch.tensor(logp, dtype=torch.float32).expand(count, -1)


def coupled(p: np.ndarray, q: np.ndarray, key: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Proposed from p, drawn from q: the teacher alone decides."""
    pair = pair_of(rows(p, len(key)), rows(q, len(key)))
    options = AlphaOptions("fixed", fixed=1.0)
    solution = choose(pair, method_of(options), options)
    return coupled_draw(target_of(pair, solution, torch.zeros(len(key))), key, at)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("count", DRAWS)
def test_a_coupled_draw_has_the_law_of_q(count, name):
    p, q = map(brute.normalise, LAWS[name])
    seen = tally(lambda key, at: coupled(p, q, key, at), count)
    assert p_value(seen, np.exp(q)) >= 0.01


@pytest.mark.parametrize("vocab", [1536, 4099])
@pytest.mark.parametrize("name", ["near", "nothing in common"])
def test_the_law_holds_where_the_tokens_lie_far_apart(name, vocab):
    """In parts of a wide row, which run before the tokens do."""
    p, q = map(brute.normalise, LAWS[name])
    places = np.linspace(0, vocab - 1, 8).astype(int)

    def wide(logp: np.ndarray) -> np.ndarray:
        row = np.full(vocab, NOWHERE)
        row[places] = logp
        return row

    key = torch.arange(8000) * 0x5DEECE66D + sample_key(0, "wide", vocab)
    drawn = torch.cat([coupled(wide(p), wide(q), part, torch.full_like(part, 3)) for part in key.split(1000)])
    seen = np.bincount(drawn.numpy(), minlength=vocab)
    assert seen.sum() == seen[places].sum()
    assert p_value(seen[places], np.exp(q)) >= 1e-3
    assert p_value(seen[places], np.exp(q)[::-1]) < 1e-9, "another law must be noticed"


@pytest.mark.parametrize("name", LAWS)
def test_a_proposal_has_the_law_of_the_student(name):
    p, _ = map(brute.normalise, LAWS[name])
    seen = tally(lambda key, at: propose(rows(p, len(key)), key, at), 20_000)
    assert p_value(seen, np.exp(p)) >= 0.01


@pytest.mark.parametrize("name", ["near", "far", "the proposal has holes where q has mass",
                                  "q has holes where the proposal has mass", "both have holes"])
@pytest.mark.parametrize("count", DRAWS)
def test_a_step_of_the_mixer_draws_from_the_solved_mixture_and_from_no_other(count, name):
    theta, t = (np.asarray(row, dtype=np.float32) for row in LAWS[name])
    mixer = Mixer(AlphaOptions(), diagnostics=False)

    def draw(key, at):
        return mixer.step(rows(theta, len(key)), rows(t, len(key)), key, at).token_B

    seen = tally(draw, count)
    exact_theta, exact_t = brute.normalise(theta), brute.normalise(t)
    alpha = brute.root(exact_theta, exact_t)
    assert p_value(seen, np.exp(brute.mix(exact_theta, exact_t, alpha))) >= 0.01
    wrong = alpha + 0.25 if alpha < 0.5 else alpha - 0.25
    assert p_value(seen, np.exp(brute.mix(exact_theta, exact_t, wrong))) < 1e-3, "a wrong α must be noticed"


def test_a_draw_agrees_with_its_proposal_as_often_as_two_laws_can():
    """The coupling is maximal: they agree with probability 1 − TV(p, q)."""
    p, q = map(brute.normalise, LAWS["near"])
    key = torch.arange(40_000) * 977
    at = torch.zeros_like(key)
    proposed = propose(rows(p, len(key)), key, at)
    drawn = coupled(p, q, key, at)
    agree = 1 - brute.total_variation(p, q)
    noise = np.sqrt(agree * (1 - agree) / len(key))
    assert (proposed == drawn).double().mean().item() == pytest.approx(agree, abs=4 * noise)


@pytest.mark.slow
@pytest.mark.parametrize("rare", [1e-6, 1e-5])
def test_a_rare_token_is_drawn_at_its_rate(rare):
    """By the proposal where both find it rare, by the residual where only q knows it."""
    count = 4_000_000
    q = np.log([rare, rare, *[(1 - 2 * rare) / 6] * 6])
    p = np.log([rare, 1e-300, *[(1 - rare) / 6] * 6])
    p[1] = NOWHERE
    seen = tally(lambda key, at: coupled(p, q, key, at), count)
    for token in (0, 1):
        assert stats.binomtest(int(seen[token]), count, rare).pvalue > 1e-3
