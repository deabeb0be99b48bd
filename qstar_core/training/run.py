"""One training run: data and a student in, a checkpoint in the store out.

Run again after a kill it goes on from the last sound state. The same input gives the same checkpoint on CPU. The
pointer `students/<line>/latest.json` is never touched: what is promoted is decided elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from qstar_core.checkpoints import save_checkpoint
from qstar_core.config import Settings
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ConfigError, TrainingError
from qstar_core.home import subfolder
from qstar_core.models import resolve, resolve_student
from qstar_core.plural import counted
from qstar_core.recipes import Gkd, LogitDistillation, OnPolicyDistillation, Rewarded, Training
from qstar_core.records import Checkpoint, ModelRef, content_hash
from qstar_core.stages.workspace import Workspace
from qstar_core.store.objects import ObjectStore
from qstar_core.training import states
from qstar_core.training.data import load_rows
from qstar_core.training.hardware import Hardware, Portions, hardware_for, portions_for
from qstar_core.training.libraries import prepare
from qstar_core.training.request import TrainRequest as TrainRequest
from qstar_core.training.rewards import RewardFunction, VerifierReward
from qstar_core.training.rows import Rows
from qstar_core.training.students import load_network, load_student, save_student
from qstar_core.training.traced import Drawn
from qstar_core.training.watching import Board, OnProgress, Progress, Watch


def train(request: TrainRequest, store: ObjectStore, on_progress: OnProgress,
          reward: RewardFunction | None = None) -> Checkpoint:
    """`reward` is asked by the recipes with `reward: model`."""
    recipe, workspace = request.recipe, Workspace(request.settings, store)
    hardware = hardware_for(recipe)
    portions = portions_for(recipe, hardware.processes)
    if isinstance(recipe, Rewarded) and recipe.reward == "model" and reward is None:
        raise ConfigError("training.reward is model, and no reward model is given",
                          "give one to the call, or set training.reward to verifier")
    student = resolve_student(request.settings.student, store)
    prepare()
    with workspace.scratch() as scratch:
        drawn = Drawn(ChatTokenizer(student.name, Path(student.path)), recipe.max_length,
                      top=isinstance(recipe, LogitDistillation))
        rows = load_rows(workspace, request.data, recipe, drawn, scratch)
        for text in rows.told:
            on_progress(Progress(text=text))
        run = _Run(recipe, request.recipe_name, request.settings, student, rows, hardware, on_progress, reward)
        with run_folder(run.key) as folder:
            made = run.fit(folder, portions)
            final = folder / "final"
            save_student(made.trainer, made.student, final)
            checkpoint = None
            if made.trainer.is_world_process_zero():
                checkpoint = save_checkpoint(
                    store, final, line=request.settings.student.line, recipe=run.recipe_name,
                    settings=recipe.model_dump(mode="json"), metrics=made.metrics, parents=(student.sha256,),
                    dataset_version=rows.version)
                shutil.rmtree(folder)
    return _shared(checkpoint)


def _shared(checkpoint: Checkpoint | None) -> Checkpoint:
    """The checkpoint that the first process saved, in all of them."""
    from accelerate.utils import broadcast_object_list

    held = [checkpoint and checkpoint.model_dump_json()]
    return Checkpoint.model_validate_json(broadcast_object_list(held)[0] or "")


@dataclass(frozen=True, slots=True)
class _Made:
    trainer: Any
    student: Any
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Run:
    recipe: Training
    recipe_name: str
    settings: Settings
    student: ModelRef
    rows: Rows
    hardware: Hardware
    on_progress: OnProgress
    reward: RewardFunction | None

    @property
    def key(self) -> str:
        """What is being made of what: a run with the same key goes on where this one stopped."""
        return content_hash([self.recipe.model_dump(mode="json"), self.student.sha256, self.rows.sha256])[:16]

    def fit(self, folder: Path, portions: Portions) -> _Made:
        """Halves the rows in memory as often as it takes."""
        while True:
            try:
                return self._attempt(folder, portions)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                said = str(error).strip().splitlines()[0][:200]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            portions = portions.smaller()
            self.on_progress(Progress(text=f"memory ran out ({said}); going on with "
                                           f"{counted(portions.micro, 'row')} at a time, "
                                           f"{portions.accumulation} times a step"))

    def _attempt(self, folder: Path, portions: Portions) -> _Made:
        from qstar_core.training.trainers.base import Parts
        from qstar_core.training.trainers.building import build_trainer

        student = load_student(self.student, self.recipe.peft, self.hardware, self.recipe.seed)
        watch = Watch(self.on_progress)
        reward = (self.reward or VerifierReward()) if isinstance(self.recipe, Rewarded) else None
        parts = Parts(self.recipe, student, self.rows, self.hardware, portions, folder, self._callbacks(watch),
                      self._teacher(), reward)
        try:
            trainer = build_trainer(parts)
            self._quieten(trainer)
            state = states.newest(folder)
            if state is not None:
                self.on_progress(Progress(text=f"going on from step {state.name.rpartition('-')[2]}"))
            watch.metrics |= getattr(trainer, "first_metrics", {})
            trainer.train(resume_from_checkpoint=str(state) if state else None)
        except (ValueError, TemplateError) as error:
            raise TrainingError(f"{self.recipe_name}: {' '.join(str(error).split())[:300]}",
                                "change the settings under training") from error
        finally:
            if isinstance(reward, VerifierReward):
                reward.close()
        best = trainer.state.best_metric
        if self.recipe.patience is not None and best is not None:
            watch.metrics[trainer.args.metric_for_best_model] = best
        return _Made(trainer, student, watch.metrics)

    def _callbacks(self, watch: Watch) -> list[Any]:
        found: list[Any] = [watch]
        if self.recipe.tensorboard:
            name = f"{self.recipe_name}-{self.key}"
            found.append(Board(subfolder("tensorboard") / self.settings.student.line / name))
        if self.recipe.patience is not None:
            from transformers import EarlyStoppingCallback

            if self.rows.validation is None:
                raise ConfigError("training.patience is set, and there is no validation split",
                                  "set training.validation, such as 0.1")
            found.append(EarlyStoppingCallback(self.recipe.patience))
        return found

    def _teacher(self) -> Any | None:
        if not isinstance(self.recipe, Gkd | OnPolicyDistillation):
            return None
        ref = resolve(self.settings.teacher.model, self.settings.teacher.revision)
        return load_network(ref.name, Path(ref.path), self.hardware.dtype).eval().requires_grad_(False)

    @staticmethod
    def _quieten(trainer: Any) -> None:
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)


def out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def run_folder(key: str) -> Iterator[Path]:
    """The run's own folder, which only one process uses at a time. Several processes of one run share it."""
    folder = subfolder("training") / key
    folder.mkdir(exist_ok=True)
    if int(os.environ.get("RANK", "0")):
        yield folder
        return
    with (subfolder("training") / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError("the same training runs already", "wait for it to end") from None
        yield folder
