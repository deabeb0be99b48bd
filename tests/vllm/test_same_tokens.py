"""The law of the nested engine: jobs, settings and seeds mean what they mean to the transformers engine."""

import pytest

from qstar_core.records import FinishReason
from tests.vllm.models import Tiny, assert_same, needs_vllm, run, settings_of, torch_engine, vllm_engine

pytestmark = [pytest.mark.vllm, needs_vllm]

MIXTURES = {
    "plain": {},
    "entropy": {"alpha": {"method": "entropy"}},
    "confidence": {"alpha": {"method": "confidence"}},
    "ess_balance": {"alpha": {"method": "ess_balance"}},
    "reverse_kl_symmetry": {"alpha": {"method": "reverse_kl_symmetry"}},
    "bounds": {"alpha": {"min": 0.45, "max": 0.55}},
    "teacher first": {"alpha": {"method": "fixed", "fixed": 0.0, "teacher_first_token": True}},
    "by_position": {"alpha": {"policy": {"name": "by_position", "options": {"tokens": 4}}}},
    "limits": {"support": {"top_k": 5, "top_p": 0.9}, "sampling": {"temperature": 0.7, "sharpen": 1.5}},
    "top_logprobs": {"engine": {"top_logprobs": 3}},
    "no diagnostics": {"engine": {"diagnostics": False}},
    "stop": {"sampling": {"stop": ["3", "an"]}},
}


@pytest.mark.parametrize("name", MIXTURES)
def test_the_same_tokens_whatever_the_mixture(tiny: Tiny, name: str) -> None:
    settings = settings_of(**MIXTURES[name])
    jobs = tiny.jobs(20, draws=3)
    theirs = run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings), jobs)
    ours = run(vllm_engine(tiny.student, tiny.teacher, settings), jobs)
    assert_same(ours, theirs)
    if name == "top_logprobs":
        assert all(one.trace is not None and one.trace.top_token is not None and one.trace.top_token.shape[1] == 3
                   for one in ours.values())


def test_neither_the_order_nor_the_crowd_changes_tokens(tiny: Tiny) -> None:
    settings = settings_of()
    jobs = tiny.jobs(6, draws=2)
    engine = vllm_engine(tiny.student, tiny.teacher, settings)
    crowd = run(engine, jobs)
    alone = {name: one for job in reversed(jobs) for name, one in run(engine, [job]).items()}
    assert_same(alone, crowd)


def test_no_room_and_the_last_token_of_the_context(tiny: Tiny) -> None:
    settings = settings_of()
    jobs = tiny.jobs(6)
    context = max(len(job.pair.teacher_ids) for job in jobs)
    theirs = run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings, context), jobs)
    ours = run(vllm_engine(tiny.student, tiny.teacher, settings, context), jobs)
    assert_same(ours, theirs)
    assert any(one.sample.finish_reason is FinishReason.ERROR for one in ours.values())


def test_a_run_that_is_left_early_leaves_nothing_behind(tiny: Tiny) -> None:
    settings = settings_of()
    jobs = tiny.jobs(10, draws=2)
    engine = vllm_engine(tiny.student, tiny.teacher, settings)
    whole = run(engine, jobs)
    running = engine.generate(jobs)
    next(running)
    running.close()
    assert_same(run(engine, jobs), whole)
