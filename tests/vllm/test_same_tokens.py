"""The law of the nested engine: jobs, settings and seeds mean what they mean to the transformers engine."""

from dataclasses import replace

import pytest

from qstar_core.engine.sequence import UNWANTED
from qstar_core.engine.vllm.hosts import host_named
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


@pytest.mark.parametrize("paired", [False, True])
def test_a_sample_that_nobody_wants_leaves_both_engines_at_once(tiny: Tiny, paired: bool) -> None:
    """Every second listener has enough after two tokens; the others get what they would have got."""
    settings = settings_of(sampling={"temperature": 3.0})
    jobs = tiny.jobs(6, draws=2)
    student = tiny.teacher if paired else tiny.student
    engine = vllm_engine(student, tiny.teacher, settings)
    whole = run(engine, jobs)
    server = engine._server(student)
    told: dict[str, list[int]] = {}

    def listener(name: str, most: int):
        heard = told.setdefault(name, [])
        return lambda position, token: heard.append(token) or len(heard) < most

    left = [replace(job, listener=listener(job.sample_id, 2 if number % 2 else 99))
            for number, job in enumerate(jobs)]
    step, held = server.step, []
    server.step = lambda: held.append(server.engine.get_num_unfinished_requests()) or step()
    try:
        found = run(engine, left)
    finally:
        server.step = step
    assert max(held) == settings.engine.batch_size * (2 if paired else 1), "their seats are free at once"
    gone = {job.sample_id for job in left[1::2] if len(told[job.sample_id]) == 2}
    assert len(gone) > 3 and all(found[name].sample.error == UNWANTED for name in gone)
    assert all(tuple(told[name]) == whole[name].sample.token_ids[:2] for name in gone)
    assert_same({name: one for name, one in found.items() if name not in gone},
                {name: one for name, one in whole.items() if name not in gone})
    assert not server.engine.has_unfinished_requests()
    inner = host_named(server._name).student
    assert inner is None or (not inner._open and not inner._engine.has_unfinished_requests())
