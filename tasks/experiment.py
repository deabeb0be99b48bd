"""One piece of work of a study, as a task; and how far the whole is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE

from qstar_core.config import Settings
from qstar_core.experiments.work import Work, kept
from qstar_core.records import Record
from qstar_core.stages.workspace import Workspace
from tasks.artifacts import key_of
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient

Run = Callable[[Work], Record]


@task(name="cell", task_run_name="{work.study} {work.label}", cache_policy=NO_CACHE, retries=RETRIES,
      retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def cell_task(settings: Settings, work: Work, run: Run) -> str:
    """Where its result lies. `run` does the work in another process."""
    kept(Workspace.open(settings).store, work, run(work))
    get_run_logger().info("%s: %s", work.told, work.place)
    return work.place


class Progress:
    """How many pieces are done: a bar in the terminal, an artifact on the server."""

    def __init__(self, spec: str, done: int, left: Sequence[Work]) -> None:
        self._spec, self._done, self._total = spec, done, done + len(left)
        self._labels = {work.key: work.told for work in left}
        self._artifact: UUID | None = None
        self._show()

    def add(self, work: Work) -> None:
        self._done += 1
        self._show(work.told)

    def step(self, key: str, what: str, done: int, total: int) -> None:
        """What one of the pieces is at."""
        self._tell(f"{self._labels[key]}, {what} {done + 1} of {total}")

    def _tell(self, what: str) -> None:
        emit(Event("experiment", item=what, done=self._done, total=self._total))

    def _show(self, last: str = "") -> None:
        self._tell(last or self._spec)
        percent = 100.0 * self._done / max(1, self._total)
        told = f"{self._done} of {self._total}" + (f", last {last}" if last else "")
        if self._artifact is None:
            made = create_progress_artifact(percent, key=key_of(self._spec, "experiment"), description=told)
            self._artifact = cast(UUID, made)  # a coroutine only where an event loop runs
        else:
            update_progress_artifact(self._artifact, percent, description=told)
