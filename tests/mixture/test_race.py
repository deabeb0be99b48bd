"""The race: first the parts of a row, then the tokens of one part, by float64 clocks; together the law of one race."""

import numpy as np
import pytest
import torch
from scipy import stats

from qstar_core.mixture.draw import propose
from qstar_core.mixture.fused import parts_of
from qstar_core.mixture.race import parts_in
from qstar_core.rng import Stream, exponentials, sample_key


def winners(logits: torch.Tensor, key: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Both heats by every token's clock, rates from float64."""
    count, vocab = logits.shape
    parts = parts_in(vocab)
    width = -(-vocab // parts)
    logp = torch.log_softmax(logits.double(), dim=-1)
    filled = torch.full((count, parts * width), -torch.inf, dtype=torch.float64)
    filled[:, :vocab] = logp
    parts_clocks = exponentials(key, position, Stream.PROPOSAL_PART, parts)
    part = torch.argmin(parts_clocks.log() - filled.view(count, parts, width).logsumexp(-1), dim=-1)
    clocks = exponentials(key, position, Stream.PROPOSAL, vocab).log() - logp
    others = torch.arange(vocab) // width != part[:, None]
    return torch.argmin(clocks.masked_fill(others, torch.inf), dim=-1)


@pytest.mark.parametrize("vocab", [2, 8, 255, 512, 1021, 4096, 8209])
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


@pytest.mark.parametrize("vocab", [600, 4096])
def test_the_law_of_both_heats_is_that_of_one(vocab):
    count = 200_000
    generator = torch.Generator().manual_seed(vocab)
    logits = 2.0 * torch.randn(vocab, generator=generator)
    key = torch.tensor([sample_key(7, "law", draw) for draw in range(count)])
    seen = torch.bincount(
        torch.cat([propose(logits.expand(len(part), -1), part, torch.zeros_like(part)) for part in key.split(2000)]),
        minlength=vocab)
    expected = count * logits.double().softmax(-1)
    order = expected.argsort(descending=True)
    often = int((expected >= 20).sum())
    counts = [*seen[order[:often]].tolist(), int(seen[order[often:]].sum())]
    means = [*expected[order[:often]].tolist(), float(expected[order[often:]].sum())]
    assert stats.chisquare(counts, means).pvalue > 1e-3
    flat = [count / vocab] * vocab
    assert stats.chisquare(seen.tolist(), flat).pvalue < 1e-9, "the test tells laws apart"


def test_clocks_of_an_id_are_its_own_wherever_counting_starts():
    key, start = torch.arange(50) * 31, torch.arange(50) * 7
    everything = exponentials(key, key, Stream.RESIDUAL, 700)
    some = exponentials(key, key, Stream.RESIDUAL, 100, start)
    assert torch.equal(some, everything.gather(1, start[:, None] + torch.arange(100)))


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
    unit = -torch.expm1(-exponentials(key, torch.zeros_like(key), Stream.PROPOSAL, 4096))
    bits = ((unit * 2.0**31).long()[..., None] >> torch.arange(31)) & 1
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


@pytest.mark.parametrize("width", [32_001, 32_002, 32_003])
def test_a_wide_row_without_equal_parts_is_cut_all_the_same(width):
    assert parts_of(width, 256) == 1
    assert parts_in(width) == 126
