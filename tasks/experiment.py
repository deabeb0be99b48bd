"""One piece of work of a study, as a task; and how far the whole is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE

from qstar_core.config import Settings
from qstar_core.experiments.claims import Outcome, shared
from qstar_core.experiments.kinds import KINDS
from qstar_core.experiments.planning import Planned
from qstar_core.experiments.work import Work
from qstar_core.records import Record
from qstar_core.stages.workspace import Workspace
from tasks.artifacts import key_of
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient

Run = Callable[[Work], Record]


@task(name="cell", task_run_name="{work.study} {work.label}", cache_policy=NO_CACHE, retries=RETRIES,
      retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def cell_task(settings: Settings, work: Work, run: Run) -> Outcome:
    """`run` does the work in another process."""
    outcome = shared(Workspace.open(settings).store, work, run, KINDS[work.kind].result)
    get_run_logger().info("%s: %s, %s", work.told, outcome, work.place)
    return outcome


def told_left(plan: Planned, jobs: int, count: int, made: int, elapsed: float) -> str:
    """How long so many pieces take: by those that this run has made so far, or else by earlier results."""
    if made >= jobs:
        seconds = elapsed / made * count
    elif plan.seconds is not None:
        seconds = plan.seconds / jobs * count / max(1, len(plan.left))
    else:
        return f"{count} to do"
    return f"{count} to do, about {seconds / 60:.0f} min"


class Progress:
    """How many pieces are done, and about how long the others take: a bar in the terminal, or lines where there is
    none; an artifact on the server."""

    def __init__(self, spec: str, plan: Planned, jobs: int) -> None:
        self._spec, self._plan, self._jobs = spec, plan, jobs
        self._done, self._made = plan.done, 0
        self._total = plan.done + len(plan.left)
        self._labels = {work.key: work.told for work in plan.left}
        self._since = time.monotonic()
        self._artifact: UUID | None = None
        self._show()

    def add(self, work: Work, made: bool) -> None:
        self._done += 1
        self._made += made
        self._show(work.told)

    def step(self, key: str, what: str, done: int, total: int) -> None:
        """What one of the pieces is at."""
        self._tell(f"{self._labels[key]}, {what} {done + 1} of {total}")

    def waits(self, count: int) -> None:
        self._tell(f"another run is at {count} of them")

    @property
    def left(self) -> str:
        return told_left(self._plan, self._jobs, self._total - self._done, self._made, time.monotonic() - self._since)

    def _tell(self, what: str) -> None:
        emit(Event("experiment", item=f"{self.left}; {what}", done=self._done, total=self._total))

    def _show(self, last: str = "") -> None:
        self._tell(last or self._spec)
        percent = 100.0 * self._done / max(1, self._total)
        told = f"{self._done} of {self._total}, {self.left}" + (f", last {last}" if last else "")
        if self._artifact is None:
            made = create_progress_artifact(percent, key=key_of(self._spec, "experiment"), description=told)
            self._artifact = cast(UUID, made)  # a coroutine only where an event loop runs
        else:
            update_progress_artifact(self._artifact, percent, description=told)
