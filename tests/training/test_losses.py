"""Laws of the importance weights, of the two losses of ours, and of the portions of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import ConfigError, DataError, TrainingError
from qstar_core.recipes import Sft
from qstar_core.training.hardware import Portions, portions_for
from qstar_core.training.trainers.tokens import collate, topk_cross_entropy, weighted_nll
from qstar_core.training.weights import importance_weights

ratios = st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=5), min_size=1, max_size=8)
LEVELS = ("token", "sequence")


@given(ratios, st.sampled_from(LEVELS), st.floats(0.1, 50))
def test_weights_have_mean_1_are_truncated_and_have_an_ess_in_range(found: list[list[float]], level: str,
                                                                    most: float) -> None:
    weights = importance_weights(found, level, most)  # type: ignore[arg-type]
    every = np.concatenate(weights.tokens)
    assert [len(each) for each in weights.tokens] == [len(each) for each in found]
    assert every.mean() == pytest.approx(1) and (every >= 0).all()
    units = sum(map(len, found)) if level == "token" else len(found)
    assert 1 - 1e-9 <= weights.ess <= units + 1e-9
    raw = [sum(each) for each in found] if level == "sequence" else [value for each in found for value in each]
    assert weights.truncated == pytest.approx(np.mean([value > np.log(most) for value in raw]))
    # before normalising none is above the bound: the largest is at most bound / smallest times the smallest one
    assert every.max() / every.min() <= most / min(most, np.exp(min(raw))) * (1 + 1e-9)


@given(ratios, st.sampled_from(LEVELS))
def test_a_common_factor_changes_nothing(found: list[list[float]], level: str) -> None:
    if level == "sequence":
        shifted = [[value + 0.5 / len(each) for value in each] for each in found]
    else:
        shifted = [[value + 0.5 for value in each] for each in found]
    one, other = (importance_weights(values, level, 1e12) for values in (found, shifted))  # type: ignore[arg-type]
    assert one.ess == pytest.approx(other.ess)
    np.testing.assert_allclose(np.concatenate(one.tokens), np.concatenate(other.tokens))


def test_samples_of_the_student_itself_weigh_the_same() -> None:
    weights = importance_weights([[0.0, 0.0], [0.0]], "sequence", 10)
    assert weights.ess == weights.share * 2 == 2 and all((each == 1).all() for each in weights.tokens)
    with pytest.raises(DataError, match="every importance weight is 0"):
        importance_weights([[-1e9], [-1e9]], "sequence", 10)


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 5, 7, generator=generator, requires_grad=True)
    return logits, torch.tensor([[-100, -100, 3, 1, 2], [-100, 4, 5, -100, -100]])


def test_weights_of_one_are_plain_cross_entropy_and_zeros_leave_rows_out() -> None:
    logits, labels = example()
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    torch.testing.assert_close(weighted_nll(logits, labels, torch.ones(2, 5)), plain)
    weight = torch.ones(2, 5)
    weight[1] = 0
    weighted_nll(logits, labels, weight).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad[0].abs().sum() > 0 and logits.grad[1].abs().sum() == 0


@pytest.mark.parametrize("tail", [True, False])
def test_all_tokens_of_q_give_its_whole_cross_entropy_and_q_is_where_it_is_least(tail: bool) -> None:
    logits, labels = example()
    logq = torch.randn(2, 5, 7).log_softmax(-1)
    order = torch.argsort(logq, -1, descending=True)
    loss = topk_cross_entropy(logits, labels, order, logq.gather(-1, order), tail)
    mask = labels[:, 1:] != -100
    wanted = -(logq[:, 1:].exp() * logits[:, :-1].log_softmax(-1)).sum(-1)[mask].sum()
    torch.testing.assert_close(loss, wanted)
    at_q = torch.roll(logq, -1, 1).requires_grad_()
    topk_cross_entropy(at_q, labels, order[..., :3], logq.gather(-1, order)[..., :3], tail=True).backward()  # type: ignore[no-untyped-call]
    assert at_q.grad is not None and at_q.grad.abs().max() < 1e-6, "the student that is q has nothing to learn"


def test_a_kept_token_without_mass_and_padding_are_no_nan() -> None:
    logits, labels = example()
    token = torch.tensor([0, 1]).expand(2, 5, 2)
    logq = torch.tensor([0.0, -1e9]).expand(2, 5, 2)
    for tail in (True, False):
        loss = topk_cross_entropy(logits, labels, token, logq, tail)
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        assert torch.isfinite(loss) and logits.grad is not None and torch.isfinite(logits.grad).all()


def test_rows_are_padded_on_the_right() -> None:
    batch = collate([{"input_ids": [1, 2, 3], "labels": [-100, 2, 3], "top_logq": [[0.0], [-1.0], [-2.0]]},
                     {"input_ids": [4], "labels": [4], "top_logq": [[-3.0]]}], pad=9)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]
    assert batch["top_logq"].tolist() == [[[0], [-1], [-2]], [[-3], [0], [0]]]


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 4))
def test_portions_make_up_the_batch_and_shrink_to_one(each: int, micro: int, processes: int) -> None:
    found = portions_for(Sft(batch_size=each * processes, micro_batch=micro), processes)
    while True:
        assert found.micro * found.accumulation == each and 1 <= found.micro <= micro
        if found.micro == 1:
            break
        smaller = found.smaller()
        assert smaller.micro <= found.micro // 2
        found = smaller
    with pytest.raises(TrainingError, match="one row at a time does not fit"):
        Portions(1, each).smaller()


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_size \(5\) is no multiple of the 2 processes"):
        portions_for(Sft(batch_size=5), 2)
