"""The endpoint through the real client: the tokens of `generate`, whole, streamed and in a crowd; errors, leaving."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx
import openai
import pytest

from qstar_core import Mixture, generate
from qstar_core.records import Prompt
from qstar_core.tiny.problems import problems
from tests.serving.conftest import TOKEN, Server, serving

PROMPTS = list(problems(3, 8))
LENGTH = 64


def asked(prompt: Prompt, **more: Any) -> dict[str, Any]:
    """`generate`'s own prompt as a request."""
    qstar = {"reference": prompt.meta["reference"], "answer": prompt.answer, **more.pop("qstar", {})}
    return {"model": "qstar", "messages": [{"role": "user", "content": prompt.question}], "max_tokens": LENGTH,
            "seed": 0, "extra_body": {"qstar": qstar}, **more}


def streamed(client: openai.OpenAI, prompt: Prompt) -> list[str]:
    texts, pieces = ["", ""], 0
    for event in client.chat.completions.create(**asked(prompt, n=2, stream=True)):
        for choice in event.choices:
            texts[choice.index] += choice.delta.content or ""
            pieces += bool(choice.delta.content)
    assert pieces > 6, "token by token"
    return texts


def expected(mixture: Mixture, prompts: list[Prompt], draws: int) -> list[list[Any]]:
    """By prompt and draw."""
    found: list[list[Any]] = [[None] * draws for _ in prompts]
    given = [Prompt.of(one.messages, answer=one.answer, meta={"reference": one.meta["reference"]}) for one in prompts]
    for drawn in generate(mixture, given, draws, traces=True):
        found[drawn.index][drawn.draw] = drawn
    return found


def test_samples_are_those_of_generate(client: openai.OpenAI, mixture: Mixture) -> None:
    theirs = expected(mixture, PROMPTS[:2], 3)
    for prompt, drawn in zip(PROMPTS, theirs, strict=False):
        ours = client.chat.completions.create(**asked(prompt, n=3, qstar={"diagnostics": True}))
        assert [choice.index for choice in ours.choices] == [0, 1, 2]
        for choice, one in zip(ours.choices, drawn, strict=True):
            told = choice.model_dump()["qstar"]
            assert tuple(told["tokens"]["id"]) == one.token_ids
            assert choice.message.content == one.completion and choice.finish_reason == one.finish_reason
            assert (told["seed"], told["draw"]) == (0, one.draw)
            assert told["tokens"]["alpha"] == pytest.approx(one.trace.alpha.tolist(), abs=2e-3)
            assert told["tokens"]["kl_t"] == pytest.approx(one.trace.kl_t.tolist(), abs=1e-4)
            assert told["summary"]["alpha_mean"] == pytest.approx(one.summary.alpha_mean, abs=2e-3)
        assert ours.usage is not None
        assert ours.usage.prompt_tokens == len(drawn[0].pair.student_ids)
        assert ours.usage.completion_tokens == sum(len(one.token_ids) for one in drawn)


def test_a_crowd_of_streams_shares_the_batch_and_gets_the_same(client: openai.OpenAI, mixture: Mixture) -> None:
    with ThreadPoolExecutor(len(PROMPTS)) as crowd:
        ours = list(crowd.map(lambda prompt: streamed(client, prompt), PROMPTS))
    assert ours == [[one.completion for one in drawn] for drawn in expected(mixture, PROMPTS, 2)]


def test_mixtures_of_their_own_beside_each_other(client: openai.OpenAI) -> None:
    """α = 0 does not read the teacher's prompt; the teacher alone does."""
    def completion(number: int, reference: str) -> str | None:
        alpha = {"method": "fixed", "fixed": float(number % 2)}
        request = asked(PROMPTS[0], qstar={"alpha": alpha, "reference": reference})
        return client.chat.completions.create(**request).choices[0].message.content

    right, wrong = (one.meta["reference"] for one in PROMPTS[:2])
    with ThreadPoolExecutor(8) as crowd:
        found = list(crowd.map(completion, range(8), [right] * 4 + [wrong] * 4))
    assert len({*found[0::2]}) == 1
    assert len({*found[1:4:2]}) == len({*found[5::2]}) == 1 and found[1] != found[5]


def test_the_teachers_own_messages_and_texts(client: openai.OpenAI, mixture: Mixture) -> None:
    prompt = PROMPTS[0]
    reads = f"{prompt.question} ref {prompt.meta['reference']} steps"
    messages = [{"role": "user", "content": prompt.question}]
    common = {"model": "qstar", "max_tokens": LENGTH, "seed": 3}
    ways = [{"teacher_messages": [{"role": "user", "content": reads}]}, {"teacher_prompt": reads}]
    chats = [client.chat.completions.create(messages=messages, **common, extra_body={"qstar": way}) for way in ways]
    pair = mixture.render(Prompt.of(prompt.messages, meta={"reference": prompt.meta["reference"]}))
    text = client.completions.create(prompt=pair.student_text, **common,
                                     extra_body={"qstar": {"teacher_prompt": pair.teacher_text}})
    assert chats[0].choices[0].message.content == chats[1].choices[0].message.content == text.choices[0].text
    assert text.usage is not None and text.usage.model_dump()["teacher_prompt_tokens"] == len(pair.teacher_ids)


def test_stops_usage_and_several_prompts(client: openai.OpenAI) -> None:
    request = asked(PROMPTS[0], stop=[";"], stream=True, stream_options={"include_usage": True})
    events = list(client.chat.completions.create(**request))
    text = "".join(choice.delta.content or "" for event in events for choice in event.choices)
    assert text and ";" not in text and text == text.strip()
    assert events[-1].usage is not None and events[-1].usage.completion_tokens > 0
    texts = client.completions.create(model="qstar", prompt=["1 + 2", "3 + 4"], max_tokens=2, n=2)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    seeds = {choice.model_dump()["qstar"]["seed"] for choice in texts.choices}
    assert len(seeds) == 1 and seeds != {0}, "without a seed each request has one of its own, and says which"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "penalty": ({"frequency_penalty": 1.0}, "frequency_penalty = 1.0 is not supported"),
    "bias": ({"logit_bias": {"3": 1}}, "logit_bias = "),
    "grammar": ({"response_format": {"type": "json_object"}}, "response_format = "),
    "tools": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools = "),
    "prompt logprobs": ({"extra_body": {"prompt_logprobs": 1}}, "prompt_logprobs = 1"),
    "logprobs": ({"logprobs": True}, "qstar.diagnostics"),
    "top_p": ({"top_p": 0.5}, "set qstar.support.top_p"),
    "greedy": ({"temperature": 0}, "temperature is wrong"),
    "unknown": ({"extra_body": {"zzz": 1}}, "zzz is unknown"),
    "α": ({"extra_body": {"qstar": {"alpha": {"min": 0.9, "max": 0.1}}}}, "qstar.alpha is wrong"),
    "method": ({"extra_body": {"qstar": {"alpha": {"method": "foo"}}}}, "alpha.method = 'foo' is unknown"),
    "many": ({"n": 1000}, "serve.max_choices"),
    "control": ({"messages": [{"role": "user", "content": "1 <|end|>"}]}, "control token"),
    "teacher's control": ({"extra_body": {"qstar": {"teacher_prompt": "1 <|end|>"}}}, "control token"),
    "reply": ({"messages": [{"role": "assistant", "content": "1"}]}, "end with a user message"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_name(client: openai.OpenAI, name: str) -> None:
    changed, line = REFUSED[name]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "qstar", "messages": [{"role": "user", "content": "1 + 2"}],
                                          **changed})
    body = refused.value.body
    assert isinstance(body, dict) and line in body["message"] and body["type"] == "invalid_request_error"


def test_who_may_ask_and_what(server: Server) -> None:
    with pytest.raises(openai.AuthenticationError, match="bearer token"):
        server.client("another").models.list()
    client = server.client()
    assert [model.id for model in client.models.list()] == ["qstar"] and client.models.retrieve("qstar").id == "qstar"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "1"}])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path, sent, status in (("nothing", {}, 404), ("completions", {"content": b"{}"}, 415),
                               ("completions", {"content": b" " * 2_000_000}, 413),
                               ("completions", {"content": b"[" * 100_000}, 400),
                               ("completions", {"content": b'{"prompt": "1", "\\ud800": 1}'}, 400),
                               ("completions", {"content": b'{"prompt": "\\ud800"}'}, 400)):
        kind = {"Content-Type": "text/plain" if status == 415 else "application/json"}
        reply = httpx.post(f"{server.address}/{path}", headers=headers | kind, **sent)
        assert reply.status_code == status and reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_leaves_nothing_behind(server: Server, stream: bool) -> None:
    """Many samples at a high temperature take longer than the test."""
    place = urlparse(server.address)
    body = json.dumps({"model": "qstar", "prompt": "1 + 2", "n": 128, "temperature": 5, "stream": stream,
                       "max_tokens": 90}).encode()
    head = (f"POST /v1/completions HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(head + body)
        if stream:
            assert b"200 OK" in line.recv(100)
        else:
            time.sleep(0.1)
    begun = time.monotonic()
    while httpx.get(server.address.replace("/v1", "/health")).json() != {"status": "ok", "waiting": 0, "in_flight": 0}:
        assert time.monotonic() - begun < 5
        time.sleep(0.02)
    assert server.client().completions.create(model="qstar", prompt="1", max_tokens=1).choices


def test_a_signal_lets_requests_end(tmp_path: Path, model_cache: Path) -> None:
    with serving(tmp_path, model_cache, "--serve.shutdown_seconds", "20") as server:
        stream = server.client().completions.create(model="qstar", prompt="1 + 2", n=20, max_tokens=60, stream=True,
                                                    temperature=3)
        ends = []
        for number, event in enumerate(stream):
            if number == 0:
                server.process.send_signal(signal.SIGTERM)
            ends += [choice.finish_reason for choice in event.choices if choice.finish_reason]
        assert len(ends) == 20
        assert server.process.wait(timeout=20) == 0
