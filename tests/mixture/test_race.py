"""The race is won by the token that float64 clocks say, whatever the bounds say first."""

import numpy as np
import pytest
import torch
from scipy import stats

from qstar_core.mixture.draw import propose
from qstar_core.mixture.fused import parts_of
from qstar_core.rng import Stream, coarse, exponentials, row_words, sample_key, token_words


def winners(logits: torch.Tensor, key: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Every clock in float64."""
    clocks = exponentials(key, position, Stream.PROPOSAL, logits.shape[1])
    return torch.argmin(clocks.log() - torch.log_softmax(logits.double(), dim=-1), dim=-1)


@pytest.mark.parametrize("vocab", [2, 8, 255, 512, 1021, 4096])
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0, 300.0])
def test_the_winner_is_that_of_the_float64_race(vocab, scale):
    generator = torch.Generator().manual_seed(vocab)
    logits = scale * torch.randn(600, vocab, generator=generator)
    logits[::5, ::2] = -torch.inf
    key, position = torch.arange(600) * 104729, torch.arange(600) % 11
    assert torch.equal(propose(logits, key, position), winners(logits, key, position))


def test_a_token_that_is_all_but_certain_wins_and_loses_as_it_should():
    """The clock of a sure token may be late: beyond what float32 tells apart."""
    logits = torch.tensor([[14.0, 0.0, 0.0]]).expand(60_000, -1)
    key = torch.arange(60_000) * 104729
    assert torch.equal(propose(logits, key, key), winners(logits, key, key))


def test_the_coarse_number_is_a_lower_bound_of_the_exponential():
    key = torch.arange(300) * 31
    word_0, word_1 = row_words(key, key, Stream.RESIDUAL)
    below = coarse(word_0, word_1, token_words(0, 700, 1, key.device))
    assert (below >= 0).all()
    unit = -torch.expm1(-exponentials(key, key, Stream.RESIDUAL, 700))
    steps = unit * 2.0**31 - below.double()
    assert (steps > -1e-6).all()
    assert (steps < 1 + 1e-6).all()
    assert stats.kstest(steps.flatten()[:20_000].numpy(), "uniform").pvalue > 1e-3, "the second word is uniform too"


@pytest.mark.parametrize("power", [14, 19])
def test_small_clocks_are_as_frequent_as_they_should_be(power):
    """A token of probability p is drawn by clocks below p; its rate is right only if those are."""
    count = 500
    key = torch.tensor([sample_key(5, "rare", draw) for draw in range(count)])
    values = exponentials(key, torch.zeros_like(key), Stream.PROPOSAL, 4096)
    expected = count * 4096 * 2.0**-power
    assert stats.poisson.sf((values < 2.0**-power).sum().item() - 1, expected) > 1e-4
    assert stats.poisson.cdf((values < 2.0**-power).sum().item(), expected) > 1e-4


def test_bits_are_balanced_and_unrelated_between_tokens_and_rows():
    key = torch.arange(64)
    word_0, word_1 = row_words(key, torch.zeros_like(key), Stream.PROPOSAL)
    bits = (coarse(word_0, word_1, token_words(0, 4096, 1, key.device))[..., None] >> torch.arange(31)) & 1
    signs = (2 * bits - 1).double()
    noise = 5 / np.sqrt(64 * 4096)
    assert signs.mean((0, 1)).abs().max() < noise
    assert (signs[:, 1:] * signs[:, :-1]).mean((0, 1)).abs().max() < noise, "neighbouring tokens"
    assert (signs[1:] * signs[:-1]).mean((0, 1)).abs().max() < noise, "neighbouring keys"
    between = torch.einsum("ktb,ktc->bc", signs, signs) / (64 * 4096) - torch.eye(31, dtype=torch.float64)
    assert between.abs().max() < 1.2 * noise, "bits of one number"


@pytest.mark.parametrize("width", [1, 8, 255, 256, 1021, 49_152, 50_257, 151_936, 152_064, 262_144])
def test_parts_are_equal_and_narrow_where_they_can_be(width):
    parts = parts_of(width, 256)
    assert width % parts == 0
    if width in (49_152, 50_257, 151_936, 152_064, 262_144):
        assert 256 <= width // parts <= 4096
