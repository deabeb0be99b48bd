"""α, log q and both log π of what was produced are what transformers computes, however vLLM came to it."""

from typing import Any

import pytest

from tests.vllm.models import (
    Errors,
    Tiny,
    assert_same,
    needs_vllm,
    network,
    recomputed,
    run,
    settings_of,
    torch_engine,
    vllm_engine,
)

pytestmark = [pytest.mark.vllm, needs_vllm]

MEAN, MOST = 1e-4, 2e-3
VARIANTS: dict[str, dict[str, Any]] = {
    "prompts in pieces, rows preempted": {"step_tokens": 16, "kv_cache_gib": 0.001},
    "a process of its own": {"own_process": True},
}


@pytest.fixture(scope="module")
def networks(tiny: Tiny):
    return network(tiny.student.path), network(tiny.teacher.path)


def assert_exact(errors: Errors) -> None:
    assert errors.mean <= MEAN and errors.most <= MOST, (errors.mean, errors.most)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_tiny_pair(tiny: Tiny, networks, name: str, monkeypatch) -> None:
    settings = settings_of({"vllm": VARIANTS[name]})
    jobs = tiny.jobs(12, draws=3)
    found = run(vllm_engine(tiny.student, tiny.teacher, settings), jobs)
    vocab = max(tiny.tokenizer.vocabulary.values()) + 1
    assert_exact(recomputed(found.values(), jobs, *networks, vocab))
    theirs = run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings), jobs)
    assert_same(found, theirs)
