"""The likeliest tokens of q: those of the q that was drawn from, and nothing else changes."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from qstar_core.config import SupportSettings
from qstar_core.records import Trace
from tests.engine.models import Duo, by_id, jobs, prompts


@pytest.mark.parametrize("k", [1, 5, 40])
def test_without_them_every_bit_is_the_same(forty: Duo, k):
    work = jobs(prompts(4, 40), draws=2)
    plain, told = by_id(forty.engine().generate(work)), by_id(forty.engine(top_logprobs=k).generate(work))
    for name, one in plain.items():
        assert one.trace.top_token is one.trace.top_logq is None
        assert one.sample == told[name].sample
        for field in fields(Trace):
            if field.name not in ("top_token", "top_logq"):
                assert np.array_equal(getattr(one.trace, field.name), getattr(told[name].trace, field.name))
        assert told[name].trace.top_token.shape == told[name].trace.top_logq.shape == (len(one.trace), k)


def test_they_are_those_of_q(forty: Duo):
    """The models read the conversation anew, without a cache, and are mixed at the α that was recorded."""
    for one, job in zip(forty.engine(slots=1, top_logprobs=3).generate(jobs(prompts(3, 40))), jobs(prompts(3, 40)),
                        strict=True):
        ids = list(one.sample.token_ids)
        logits = [model.network(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
                  for model, prompt in ((forty.student, job.pair.student_ids), (forty.teacher, job.pair.teacher_ids))]
        alpha = torch.from_numpy(one.trace.alpha)[:, None]
        theta, t = (torch.log_softmax(part, dim=-1) for part in logits)
        logq = torch.log_softmax((1 - alpha) * theta + alpha * t, dim=-1)
        best = logq.topk(3)
        np.testing.assert_allclose(one.trace.top_logq, best.values.numpy(), atol=1e-4)
        assert np.array_equal(one.trace.top_token, best.indices.numpy())


def test_the_drawn_token_among_them_has_its_log_q_and_a_cut_support_ends_them(forty: Duo):
    work = jobs(prompts(4, 40), draws=2)
    cut = SupportSettings(top_k=2, apply_to="student")
    for one in forty.engine(support=cut, sharpen=1.5, top_logprobs=4).generate(work):
        trace = one.trace
        mine = trace.top_token == trace.token[:, None]
        assert mine.any(1).all()
        assert np.array_equal(trace.top_logq[mine], trace.logq)
        mass = np.exp(trace.top_logq.astype(np.float64)).sum(1)
        np.testing.assert_allclose(mass, 1.0, atol=1e-5)
        assert np.isneginf(trace.top_logq[:, 2:]).all()
