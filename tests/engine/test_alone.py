"""One model alone: what α = 0 draws, for half of the work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.records import FinishReason
from tests.engine.models import Duo, by_id, jobs, prompts

WAYS = {
    "plainly": ({}, SupportSettings()),
    "warm": ({"temperature": 1.3}, SupportSettings()),
    "cut": ({}, SupportSettings(top_k=5, min_p=0.01)),
    "sharp": ({"sharpen": 2.0}, SupportSettings()),
}


def engine(duo: Duo, alone: bool, sampling: dict | None = None, support: SupportSettings | None = None,
           **options: object) -> TransformersEngine:
    return TransformersEngine(
        duo.student, None if alone else duo.teacher, duo.tokenizer, 40, AlphaSettings(method="fixed", fixed=0.0),
        SamplingSettings(**{"max_tokens": 12, **(sampling or {})}), support or SupportSettings(),
        EngineSettings(**{"batch_size": 3, "device": "cpu", **options}))


@pytest.mark.parametrize(("sampling", "support"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("deterministic", [True, False])
def test_alone_draws_what_alpha_zero_draws(forty: Duo, sampling, support, deterministic):
    work = jobs(prompts(8, 40), draws=3)
    options = {"sampling": sampling, "support": support, "deterministic": deterministic}
    alone, zero = (by_id(engine(forty, one, **options).generate(work)) for one in (True, False))
    for name, one in alone.items():
        assert one.sample.token_ids == zero[name].sample.token_ids
        assert one.trace is None
        assert one.sample.summary is None
    assert len({one.sample.token_ids for one in alone.values()}) > 8


def test_the_law_is_the_model_s(eight: Duo):
    pair = prompts(1, 8)[0]
    drawn = [one.sample.token_ids[0] for one in engine(eight, True, {"max_tokens": 1}, batch_size=32).generate(
        jobs([pair], 600))]
    with torch.no_grad():
        exact = eight.student.network(input_ids=torch.tensor([pair.student_ids])).logits[0, -1].softmax(-1).numpy()
    seen, expected = np.bincount(drawn, minlength=8), 600 * exact
    assert exact.min() > 0.01
    assert chisquare(seen, expected, sum_check=False).pvalue > 1e-3
    assert chisquare(seen, expected[::-1], sum_check=False).pvalue < 1e-6


def test_only_the_student_s_prompt_is_read(forty: Duo):
    pair = prompts(1, 40)[0]
    other = pair.model_copy(update={"teacher_ids": tuple(reversed(pair.teacher_ids))})
    first, second = (next(engine(forty, True).generate(jobs([one]))).sample for one in (pair, other))
    assert first == second


def test_a_model_that_says_nothing_fails_its_samples_and_no_other_s(forty: Duo):
    class Broken:
        def __init__(self, network):
            self.network, self.config = network, network.config

        def parameters(self):
            return self.network.parameters()

        def __call__(self, **inputs):
            out = self.network(**inputs)
            out.logits[inputs["input_ids"][:, -1] == 7] = float("nan")
            return out

    broken = Duo(type(forty.student)("broken", Broken(forty.student.network), forty.student.device,
                                     forty.student.eos_ids), forty.teacher, forty.tokenizer, 40)
    work = jobs(prompts(8, 40), draws=3)
    whole, found = by_id(engine(forty, True).generate(work)), by_id(engine(broken, True).generate(work))
    failed = [one for one in found.values() if one.sample.finish_reason is FinishReason.ERROR]
    assert failed
    assert all("not a distribution" in one.sample.error for one in failed)
    for name, one in found.items():
        if one not in failed:
            assert one.sample == whole[name].sample
