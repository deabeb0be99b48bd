"""One training run, its curves as artifacts while it runs."""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import (
    create_image_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from qstar_core.config import Settings
from qstar_core.records import Checkpoint
from qstar_core.stages.workspace import Workspace
from qstar_core.training.curves import Curves
from qstar_core.training.launch import run_training
from qstar_core.training.request import TrainRequest
from qstar_core.training.watching import Progress
from tasks.artifacts import key_of
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient

_EVERY_S = 10.0


@task(name="train student", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def train_task(settings: Settings, data: str) -> Checkpoint:
    """The checkpoint is in the store; retried or run again, it goes on from the last state."""
    request = TrainRequest(settings=settings, data=data)
    shown = _Shown(settings.student.line, request.recipe_name)
    checkpoint = run_training(request, Workspace.open(settings).store, shown)
    shown.end(checkpoint)
    return checkpoint


class _Shown:
    """Tells the terminal of every step, and the Prefect server of the curves every few seconds."""

    def __init__(self, line: str, recipe: str) -> None:
        self._key, self._recipe = key_of(line.replace("_", "-"), "training"), recipe
        self._curves = Curves()
        self._bar: UUID | None = None
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.text:
            get_run_logger().info("%s", progress.text)
            emit(Event("train", text=progress.text))
        if not progress.steps:
            return
        self._curves.add(progress.step, progress.metrics)
        loss = f" loss {progress.metrics['loss']:.4f}" if "loss" in progress.metrics else ""
        emit(Event("train", item=f"training{loss}", done=progress.step, total=progress.steps))
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _EVERY_S
            self._send(100 * progress.step / progress.steps)

    def _send(self, percent: float) -> None:
        if self._bar is None:
            made = create_progress_artifact(percent, key=f"{self._key}-progress", description=self._recipe)
            self._bar = cast(UUID, made)  # a coroutine only where an event loop runs
        else:
            update_progress_artifact(self._bar, percent)
        if picture := self._curves.picture():
            create_image_artifact(picture, key=f"{self._key}-curves",
                                  description=f"{self._recipe}: {self._curves.told}")

    def end(self, checkpoint: Checkpoint) -> None:
        self._send(100.0)
        create_table_artifact(key=f"{self._key}-checkpoint", description=f"{checkpoint.line} {checkpoint.id}",
                              table=[{"what": name, "value": value} for name, value in _facts(checkpoint).items()])
        told = f"{checkpoint.line} {checkpoint.id}, {self._curves.told}"
        get_run_logger().info("%s: %s", told, checkpoint.uri)
        emit(Event("train", text=told))


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    return {"checkpoint": checkpoint.id, "files": checkpoint.uri, "recipe": checkpoint.recipe,
            "data": checkpoint.dataset_version or "a folder", "trained from": ", ".join(checkpoint.parents),
            **{name: f"{value:.6g}" for name, value in sorted(checkpoint.metrics.items())}}
