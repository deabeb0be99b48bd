"""Where both roles have the same weights, one forward over twice the rows draws what two forwards draw."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.attention import FOLDED
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.pair import OneModel, TwoModels, pair_runner
from tests.engine.models import Duo, by_id, jobs, prompts


def engine(duo: Duo, share_forward: bool, deterministic: bool = True) -> TransformersEngine:
    return TransformersEngine(
        duo.student, duo.student, duo.tokenizer, 40, AlphaSettings(), SamplingSettings(max_tokens=12),
        SupportSettings(),
        EngineSettings(batch_size=3, device="cpu", share_forward=share_forward, deterministic=deterministic))


@pytest.mark.parametrize("deterministic", [True, False])
def test_one_forward_draws_what_two_draw(forty: Duo, deterministic):
    """Also where the last samples move together."""
    work = jobs(prompts(8, 40), draws=2)
    one = by_id(engine(forty, True, deterministic).generate(work))
    two = by_id(engine(forty, False).generate(work))
    assert one.keys() == two.keys()
    for name, finished in one.items():
        assert finished.sample.token_ids == two[name].sample.token_ids
        np.testing.assert_allclose(finished.trace.logq, two[name].trace.logq, atol=1e-4)


def test_the_roles_keep_their_own_prompts(forty: Duo):
    """The same weights on two prompts are two distributions."""
    found = by_id(engine(forty, True).generate(jobs(prompts(8, 40))))
    assert any(np.abs(one.trace.logp_theta - one.trace.logp_t).max() > 0.01 for one in found.values())


def test_one_model_is_taken_only_where_the_network_is_the_same(forty: Duo):
    def chosen(teacher, share):
        return type(pair_runner(forty.student, teacher, 2, 40, 40, True, share))

    assert chosen(forty.student, True) is OneModel
    assert chosen(forty.student, False) is chosen(forty.teacher, True) is TwoModels


@pytest.mark.parametrize("length", [1, 7])
def test_folded_attention_is_attention(forty: Duo, length: int):
    torch.manual_seed(0)
    folded = forty.student.network
    plain = AutoModelForCausalLM.from_config(copy.deepcopy(folded.config), attn_implementation="eager").eval()
    plain.load_state_dict(folded.state_dict())
    assert folded.config._attn_implementation == FOLDED
    ids = torch.randint(5, 40, (3, length))
    with torch.no_grad():
        torch.testing.assert_close(folded(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-4, rtol=1e-4)
