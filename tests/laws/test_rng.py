"""Random numbers are a pure function of their keys, and behave like random numbers."""

import numpy as np
import pytest
import torch
from scipy import stats

from qstar_core.rng import Stream, _unit, exponentials, sample_key, uniforms


def keys(count: int) -> torch.Tensor:
    return torch.tensor([sample_key(7, "prompt", draw) for draw in range(count)])


def test_a_sample_key_depends_on_every_argument_and_nothing_else():
    base = sample_key(1, "a", 2)
    assert base == sample_key(1, "a", 2)
    others = [sample_key(2, "a", 2), sample_key(1, "b", 2), sample_key(1, "a", 3), sample_key(12, "a", 2),
              sample_key(1, "2a", 2), sample_key(-1, "a", 2), sample_key(1, "a2", 2)]
    assert len({base, *others}) == 8
    assert all(-(2**63) <= key < 2**63 for key in (base, *others))


def test_sample_keys_do_not_collide():
    made = {sample_key(seed, f"p{prompt}", draw) for seed in range(5) for prompt in range(100) for draw in range(40)}
    assert len(made) == 5 * 100 * 40


def test_uniforms_are_strictly_between_zero_and_one_at_every_extreme():
    bits = torch.tensor([0, -1, 1, 2**63 - 1, -(2**63), 2**11 - 1, -(2**11), -(2**12), -(2**13)])
    units = _unit(bits)
    assert (units > 0).all()
    assert (units < 1).all()
    assert torch.isfinite(torch.log1p(-units)).all()
    assert torch.isfinite(units.log()).all()


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_uniforms_are_uniform_over_keys_and_over_positions(count, stream):
    over_positions = uniforms(torch.full((count,), sample_key(1, "x", 0)), torch.arange(count), stream)
    over_keys = uniforms(torch.arange(count) * 2, torch.zeros(count, dtype=torch.long), stream)
    for values in (over_positions.numpy(), over_keys.numpy()):
        assert ((values > 0) & (values < 1)).all()
        seen, _ = np.histogram(values, 64, (0, 1))
        assert stats.chisquare(seen).pvalue > 1e-3
        pairs, _, _ = np.histogram2d(values[:-1:2], values[1::2], 8, ((0, 1), (0, 1)))
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-3, "neighbours are independent"


def test_numbers_do_not_depend_on_the_batch_or_its_order():
    key, position = keys(32), torch.arange(32) % 5
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    together = exponentials(key, position, Stream.PROPOSAL, 101)
    assert torch.equal(together[order], exponentials(key[order], position[order], Stream.PROPOSAL, 101))
    assert torch.equal(uniforms(key, position, Stream.ACCEPT)[order],
                       uniforms(key[order], position[order], Stream.ACCEPT))
    for row in range(32):
        alone = exponentials(key[row:row + 1], position[row:row + 1], Stream.PROPOSAL, 101)
        assert torch.equal(alone[0], together[row])
    assert torch.equal(together[:, :50], exponentials(key, position, Stream.PROPOSAL, 50)), "nor on the vocabulary"


def test_streams_positions_and_keys_are_unrelated():
    key, position = keys(200), torch.zeros(200, dtype=torch.long)
    base = exponentials(key, position, Stream.PROPOSAL, 64).flatten()
    others = [exponentials(key, position, Stream.RESIDUAL, 64), exponentials(key, position, Stream.ACCEPT, 64),
              exponentials(key, position + 1, Stream.PROPOSAL, 64),
              exponentials(key + 1, position, Stream.PROPOSAL, 64)]
    for other in others:
        for shift in range(4):  # also against one another token by token, a few tokens apart
            rolled = other.roll(shift, 1).flatten()
            assert not torch.isclose(base, rolled, rtol=1e-12, atol=0).any()
            assert abs(np.corrcoef(base.numpy(), rolled.numpy())[0, 1]) < 0.04
    assert stats.spearmanr(uniforms(key, position, Stream.ACCEPT), base.view(200, 64)[:, 0]).pvalue > 1e-3


@pytest.mark.parametrize("count", [400, pytest.param(40_000, marks=pytest.mark.slow)])
def test_exponentials_are_exponential(count):
    values = exponentials(keys(400), torch.arange(400), Stream.PROPOSAL, count // 4).numpy().ravel()
    assert (values > 0).all()
    assert values.mean() == pytest.approx(1, abs=5 / np.sqrt(values.size))
    assert values.var() == pytest.approx(1, abs=15 / np.sqrt(values.size))
    assert stats.kstest(values[:200_000], "expon").pvalue > 1e-3


def test_no_position_and_token_share_a_number():
    grid = exponentials(torch.full((1500,), sample_key(3, "g", 1)), torch.arange(1500), Stream.RESIDUAL, 600)
    assert grid.unique().numel() == grid.numel()
