"""An engine that follows a script, and the folders, settings and stores in which the stages run without a real one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.engine.protocol import Engine, Finished, Job
from qstar_core.errors import StoreError
from qstar_core.mixture.diagnostics import summarise
from qstar_core.models import resolve
from qstar_core.records import FinishReason, ModelRef, Sample, Trace
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.judging import judge_round
from qstar_core.stages.lines import load_lines
from qstar_core.stages.plan import Plan, PlannedPrompt, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from qstar_core.tiny.tokenizer import build_tokenizer

# Words that only the teacher's template has, all of them known to the tokenizer.
TEACHER_MARK = "plus minus plus minus"


class EngineDiedError(Exception):
    """Stands for the death of the process."""


def write_checkpoint(folder: Path, seed: int) -> Path:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id,
    )).save_pretrained(folder)
    return folder


def settings_of(**flags: Any) -> Settings:
    """Dots of a setting's name are written as two underscores."""
    defaults: dict[str, Any] = {
        "prompts.teacher": f"{{{{ question }}}} {TEACHER_MARK}", "round.prompts": 6, "round.shard_size": 4,
        "round.checkpoint_every": 2, "engine.context": 128, "engine.device": "cpu", "gate.min_rows": 1,
        "gate.min_keep_rate": 0.1, "gate.max_failed_share": 0.5, "output.report_samples": 4,
    }
    return load_settings(flags=defaults | {name.replace("__", "."): value for name, value in flags.items()})


def trace_of(name: str, length: int) -> Trace:
    rng = np.random.default_rng(int(name, 16) % 2**32)

    def floats(low: float, high: float) -> Any:
        return rng.uniform(low, high, length).astype(np.float32)

    kl = floats(0, 0.1)
    return Trace(
        token=rng.integers(6, 60, length).astype(np.int32), logp_theta=floats(-3, 0), logp_t=floats(-3, 0),
        logq=floats(-3, 0), alpha=floats(0.4, 0.6), kl_theta=kl, kl_t=kl, ess_theta=floats(0.9, 1),
        ess_t=floats(0.9, 1), log_z=floats(-0.1, 0), tv=floats(0, 0.2),
        entropy_theta=floats(0, 2), entropy_t=floats(0, 2), status=np.zeros(length, dtype=np.int32),
    )


def finished_of(job: Job, answer: str | None, traces: bool = True) -> Finished:
    """A pure function of the job: of eight samples five are right, one wrong, one cut and one failed."""
    fate = int(job.sample_id, 16) % 8
    values: dict[str, Any] = {"id": job.sample_id, "prompt_id": job.pair.prompt_id, "draw": job.draw, "seed": 0,
                              "max_tokens": 64}
    if fate == 7:
        return Finished(Sample(**values, completion="", token_ids=(), finish_reason=FinishReason.ERROR,
                               error="the logits are NaN"), None)
    said = "29 29 29" if fate == 5 else answer or "nothing"
    text = f"{' '.join(['a)'] * (job.draw + 1))} answer {said}"
    trace = trace_of(job.sample_id, len(text.split()) + 1)
    sample = Sample(**values, completion=text, token_ids=tuple(int(token) for token in trace.token),
                    finish_reason=FinishReason.LENGTH if fate == 6 else FinishReason.STOP, summary=summarise(trace))
    return Finished(sample, trace if traces else None)


@dataclass
class ScriptedEngine:
    """`dies_after` finished samples it dies, by `death`; `order` is plan, reverse or shuffled; `loses` names samples it
    forgets."""

    answers: dict[str, str | None]
    dies_after: int | None = None
    order: str = "plan"
    loses: frozenset[str] = frozenset()
    traces: bool = True
    death: type[BaseException] = EngineDiedError
    asked: list[str] = field(default_factory=list)

    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        todo = list(jobs)
        self.asked += [job.sample_id for job in todo]
        if self.order == "reverse":
            todo.reverse()
        elif self.order == "shuffled":
            random.Random(1).shuffle(todo)
        for count, job in enumerate(todo):
            if count == self.dies_after:
                raise self.death
            if job.sample_id not in self.loses:
                yield finished_of(job, self.answers[job.pair.prompt_id], self.traces)


class FailingStore:
    """A store whose `left`-th change does not happen: the process dies before it."""

    _CHANGES = ("write", "upload", "copy", "delete")

    def __init__(self, store: DirectoryStore, left: int) -> None:
        self._store, self.left = store, left

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in self._CHANGES:
            return found

        def change(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise StoreError("the store is gone", "it comes back")
            return found(*given, **named)

        return change


@dataclass
class Project:
    """A store and models; a step of a round is a call."""

    store: DirectoryStore
    models: dict[str, ModelRef]
    settings: Settings

    def workspace(self, **flags: Any) -> Workspace:
        return Workspace(settings_of(**flags) if flags else self.settings, self.store)

    def with_settings(self, **flags: Any) -> Project:
        return Project(self.store, self.models, settings_of(**flags))

    def plan(self, round_name: str = "r1", run_id: str = "run") -> Plan:
        workspace = self.workspace()
        key = plan_round(workspace, ingest(workspace, round_name), self.models, run_id)
        return load_plan(self.store, key)

    def planned(self, plan: Plan) -> list[PlannedPrompt]:
        return [line for shard in plan.shards for line in load_lines(self.store, shard.jobs, PlannedPrompt)]

    def engine(self, plan: Plan, **script: Any) -> ScriptedEngine:
        return ScriptedEngine({line.prompt.id: line.prompt.answer for line in self.planned(plan)}, **script)

    def generated(self, plan: Plan, engine: Engine | None = None) -> Plan:
        for shard in plan.shards:
            generate_shard(self.workspace(), plan, shard.index, lambda: engine or self.engine(plan))
        return plan

    def judged(self, round_name: str = "r1") -> Plan:
        """A round up to its report."""
        plan = self.generated(self.plan(round_name))
        refine(self.workspace(), plan)
        judge_round(self.workspace(), plan)
        write_report(self.workspace(), plan)
        return plan


def models_of(student: Path, teacher: Path) -> dict[str, ModelRef]:
    return {"student": resolve(str(student), None), "teacher": resolve(str(teacher), None)}
