"""The k likeliest tokens of a row are those of a full stable sort, whatever the ties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import ConfigError
from qstar_core.mixture.topk import check_top_k, top_k

LEVELS = st.sampled_from([-0.5, -1.0, -1.5, -40.0, float("-inf")])


@given(st.data(), st.integers(1, 12), st.integers(1, 4))
def test_the_first_k_of_a_stable_sort(data, vocab, rows):
    logq = torch.tensor([[data.draw(LEVELS) for _ in range(vocab)] for _ in range(rows)])
    k = data.draw(st.integers(1, vocab))
    found = top_k(logq, k).numpy()
    for row, told in zip(logq.double().numpy(), found, strict=True):
        order = np.argsort(-row, kind="stable")[:k]
        assert told[:k].astype(int).tolist() == order.tolist()
        assert np.array_equal(told[k:], row[order])


def test_a_row_of_nan_does_not_disturb_the_others():
    logq = torch.tensor([[float("nan")] * 3, [-2.0, -0.1, -3.0]])
    assert top_k(logq, 2)[1].tolist() == pytest.approx([1, 0, -0.1, -2.0])


def test_more_than_the_vocabulary_is_refused():
    with pytest.raises(ConfigError, match="top_logprobs = 4 is more than the vocabulary of 3"):
        check_top_k(4, 3)
