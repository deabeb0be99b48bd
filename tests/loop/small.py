"""A loop at the smallest size that promotes: sixteen prompts, four steps, and perplexity, which these improve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.gate.judge import CHECKS
from qstar_core.loop.book import Book
from qstar_core.loop.judging import evaluated
from qstar_core.loop.machine import Doers, Loop
from qstar_core.loop.records import Begun, Round
from qstar_core.loop.students import following
from qstar_core.models import resolve_models
from qstar_core.records import Checkpoint, DatasetVersion
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.judging import judge_round
from qstar_core.stages.plan import load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.publishing import publish, published
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from qstar_core.stages.retraining import trained_on
from qstar_core.stages.workspace import Workspace
from qstar_core.store.objects import ObjectStore
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train
from qstar_core.training.watching import Progress

LINE = "night"
SOURCE = {"path": "builtin:problems", "seed": 9, "limit": 120}
SMALL: dict[str, Any] = {
    "student.line": LINE, "prompts.teacher": "{{ question }} ref {{ meta.reference }} steps",
    "sampling.draws": 1, "round.prompts": 16, "round.shard_size": 16, "engine.context": 160, "engine.device": "cpu",
    "engine.threads": 1, "gate.min_keep_rate": 0.0, "gate.warn_only": [name for name in CHECKS if name != "row count"],
    "output.report_samples": 4, "output.traces": False,
    "training": {"recipe": "sft", "learning_rate": 1e-3, "schedule": "constant", "warmup": 0, "batch_size": 8,
                 "micro_batch": 8, "max_steps": 4, "save_every": 2, "max_length": 128, "device": "cpu",
                 "tensorboard": False},
    "evaluation.sets": [
        {"name": "stories", "role": "target", "source": SOURCE, "kinds": ["story"],
         "where": {"difficulty": [4, 5]}, "prompts": 12},
        {"name": "sorting", "role": "guard", "source": SOURCE, "kinds": ["sort"], "prompts": 6}],
    "evaluation.verifier": {"name": "answer", "options": {"method": "words"}},
    "evaluation.measures": ["perplexity"], "evaluation.max_tokens": 16,
    "promotion.measure": "perplexity", "promotion.margins": {"accuracy": None, "hedging": None, "leaks": None},
    "promotion.max_length_ratio": None, "promotion.max_kl": None, "loop.rounds": 2, "loop.patience": 2,
}


def settings(**flags: Any) -> Settings:
    return load_settings(flags={**SMALL, **{name.replace("__", "."): value for name, value in flags.items()}})


def make(store: ObjectStore, wanted: Settings, name: str = "1", *, on_step: Callable[[str], None] | None = None,
         on_progress: Callable[[Progress], None] | None = None) -> Loop:
    """The loop as the flow makes it, of plain functions. `on_step` hears of each before it is done."""
    workspace = Workspace(following(wanted), store)

    def tell(step: str) -> None:
        if on_step is not None:
            on_step(step)

    def refreshed(round_name: str) -> DatasetVersion:
        tell(f"refresh {round_name}")
        return refresh(workspace, round_name)

    def retrained(version: DatasetVersion) -> Checkpoint:
        tell(f"retrain {version.version.rpartition('-')[0]}")
        made = trained_on(workspace, f"{version.dataset} {version.version}")
        request = TrainRequest(settings=workspace.settings, data=version.version)
        return made or train(request, store, on_progress or (lambda progress: None))

    def measured(checkpoint: Checkpoint, turn: int) -> Any:
        tell(f"evaluate {turn}")
        return evaluated(workspace.settings, store, checkpoint, turn)

    return Loop(workspace, Book(store, LINE, name), Doers(refreshed, retrained, measured), lambda: None, ignore)


def run(loop: Loop) -> tuple[Begun, str]:
    begun = loop.begin()
    return begun, loop.run(begun)


def ignore(number: int, done: Round | None) -> None:
    del number, done


def refresh(workspace: Workspace, round_name: str) -> DatasetVersion:
    wanted = workspace.settings
    models = resolve_models(wanted, workspace.store)
    plan = load_plan(workspace.store, plan_round(workspace, ingest(workspace, round_name), models, run_id="run"))
    done = published(workspace, plan)
    if done is not None:
        return done
    for shard in plan.shards:
        generate_shard(workspace, plan, shard.index, lambda: engine_for(wanted, plan.models, plan.context))
    refine(workspace, plan)
    judge_round(workspace, plan)
    write_report(workspace, plan)
    return publish(workspace, plan)
