"""vLLM behind `qstar serve`, the real command and client: tokens, mixtures, leaving, an engine that dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from qstar_core import Mixture, generate
from qstar_core.records import Prompt
from tests.serving.conftest import ENGINE, Server, serving
from tests.serving.test_serve import PROMPTS, asked, expected, streamed
from tests.vllm.models import needs_vllm

pytestmark = [pytest.mark.vllm, needs_vllm]

FLAGS = ("--engine.kind", "vllm", "--engine.dtype", "float32", "--engine.batch_size", "8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Server]:
    """At its end neither a process of vLLM nor a file of its is left."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        with serving(tmp_path_factory.mktemp("serve"), model_cache, *FLAGS) as running:
            assert list(scratch.glob("qstar-vllm-*"))
            yield running
            engine = engine_of(running)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(timeout=20) == 0
            engine.wait(timeout=10)
    assert "Traceback" not in running.log.read_text()
    assert not list(scratch.glob("qstar-vllm-*"))


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return server.client()


@pytest.fixture(scope="module")
def mixture(model_cache: Path) -> Iterator[Mixture]:
    """By the transformers engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
        yield Mixture(engine={**ENGINE, "dtype": "float32"})


def engine_of(server: Server) -> psutil.Process:
    """The process in which vLLM runs."""
    (found,) = (child for child in psutil.Process(server.process.pid).children()
                if "spawn_main" in " ".join(child.cmdline()))
    return found


def settled(server: Server, within: float) -> None:
    begun = time.monotonic()
    while httpx.get(server.address.replace("/v1", "/health")).json() != {"status": "ok", "waiting": 0, "in_flight": 0}:
        assert time.monotonic() - begun < within
        time.sleep(0.02)


def test_whole_and_streamed_they_are_the_tokens_of_the_transformers_engine(client: openai.OpenAI,
                                                                           mixture: Mixture) -> None:
    theirs = expected(mixture, PROMPTS, 2)
    ours = client.chat.completions.create(**asked(PROMPTS[0], n=2, qstar={"diagnostics": True}))
    for choice, one in zip(ours.choices, theirs[0], strict=True):
        told = choice.model_dump()["qstar"]
        assert tuple(told["tokens"]["id"]) == one.token_ids and choice.message.content == one.completion
        assert choice.finish_reason == one.finish_reason and told["draw"] == one.draw
        assert told["tokens"]["alpha"] == pytest.approx(one.trace.alpha.tolist(), abs=5e-3)
        assert told["tokens"]["logq"] == pytest.approx(one.trace.logq.tolist(), abs=2e-3)
    with ThreadPoolExecutor(len(PROMPTS)) as crowd:
        found = list(crowd.map(lambda prompt: streamed(client, prompt), PROMPTS))
    assert found == [[one.completion for one in drawn] for drawn in theirs]


MIXTURES: dict[str, dict[str, Any]] = {
    "α = 0": {"alpha": {"method": "fixed", "fixed": 0.0}}, "α = 1": {"alpha": {"method": "fixed", "fixed": 1.0}},
    "bounds": {"alpha": {"min": 0.45, "max": 0.55}}, "limits": {"support": {"top_k": 3}, "sharpen": 1.5}}


def test_prompts_and_mixtures_of_a_request_are_its_own(client: openai.OpenAI, mixture: Mixture) -> None:
    """Side by side, each as the transformers engine with these settings has it."""
    prompts = PROMPTS[:3]
    names = [*MIXTURES, "the teacher's words", "plain"]

    def answered(name: str, prompt: Prompt) -> str | None:
        request = asked(prompt, temperature=1.6, stop=["answer"], qstar=MIXTURES.get(name, {}))
        if name == "the teacher's words":
            reads = f"{prompt.question} ref {prompt.meta['reference']} steps"
            request["extra_body"] = {"qstar": {"teacher_prompt": reads}}
        return client.chat.completions.create(**request).choices[0].message.content

    with ThreadPoolExecutor(len(names) * len(prompts)) as crowd:
        begun = {name: [crowd.submit(answered, name, prompt) for prompt in prompts] for name in names}
    ours = {name: [one.result() for one in running] for name, running in begun.items()}
    given = [Prompt.of(one.messages, answer=one.answer, meta={"reference": one.meta["reference"]}) for one in prompts]
    for name in names:
        way = dict(MIXTURES.get(name, {}))
        sampling = {"temperature": 1.6, "stop": ["answer"], "max_tokens": 64, "sharpen": way.pop("sharpen", 1.0)}
        other = Mixture(engine=mixture.settings.engine, sampling=sampling, **way)
        pairs = [other.render(prompt) for prompt in given]
        written = [other.pair(pair.student_text, pair.teacher_text) for pair in pairs]
        theirs = generate(other, written if name == "the teacher's words" else given, 1)
        assert ours[name] == [one.completion for one in sorted(theirs, key=lambda one: one.index)], name
    assert ours["α = 0"] != ours["α = 1"] != ours["plain"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_requests(server: Server, client: openai.OpenAI, stream: bool) -> None:
    """At a high temperature nothing ends by itself: all of it would take longer than the test waits."""
    request = {"model": "qstar", "prompt": "1 + 2", "n": 128, "temperature": 5, "max_tokens": 90}
    if stream:
        running = client.completions.create(**request, stream=True)
        next(iter(running))
        running.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=1).completions.create(**request)
    settled(server, within=5)
    assert client.completions.create(model="qstar", prompt="1", max_tokens=1).choices


def test_an_engine_that_dies_fails_what_it_had_and_the_next_request_gets_another(server: Server,
                                                                                 client: openai.OpenAI) -> None:
    before = client.completions.create(model="qstar", prompt="1 + 2", seed=1, max_tokens=20).choices[0].text
    running = iter(client.completions.create(model="qstar", prompt="1 + 2", n=8, temperature=5, max_tokens=90,
                                             stream=True))
    next(running)
    os.kill(engine_of(server).pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="the process of vLLM ended with code -9"):
        list(running)
    patient = client.with_options(timeout=300)  # vLLM starts anew, on a machine that may be busy
    after = patient.completions.create(model="qstar", prompt="1 + 2", seed=1, max_tokens=20).choices[0].text
    assert after == before
