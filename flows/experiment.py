"""The studies of a spec: pieces of work that have no result yet, in processes of one thread each. Run again, it goes on
with what is left; run twice at once, the two share it.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from qstar_core.config import Settings
from qstar_core.errors import ConfigError
from qstar_core.experiments.claims import Outcome, Waiting
from qstar_core.experiments.planning import Planned, planned
from qstar_core.experiments.pool import Pool
from qstar_core.experiments.spec import load_spec
from qstar_core.experiments.trial import try_store
from qstar_core.experiments.work import Work
from qstar_core.stages.workspace import Workspace
from tasks.experiment import Progress, cell_task

_DEFAULTS = Settings()
_LOOKS_S = 1.0


@dataclass(frozen=True, slots=True)
class Studied:
    """`place` is where the results lie; `new` of `pieces` were done by this run."""

    spec: str
    place: str
    pieces: int
    new: int


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    return f"experiment {parameters.get('spec', 'smoke')}"


@flow(name="experiment", flow_run_name=_run_name)
def experiment(settings: Settings = _DEFAULTS, spec: str = "smoke", only: tuple[str, ...] = (), jobs: int | None = None,
               force: bool = False) -> Studied:
    """Run the studies of a spec: its path, or the name of a packaged one. Of the settings, only the store counts."""
    wanted, store = load_spec(spec), Workspace.open(settings).store
    plan = planned(store, wanted, only, force)
    for study, reason in plan.skipped.items():
        get_run_logger().info("%s is not run here: %s", study, reason)
    made = 0
    if plan.left:
        try_store(store)
        made = _work(settings, wanted.name, plan, workers(jobs, len(plan.left)))
    return Studied(wanted.name, store.locate("experiments"), plan.done + len(plan.left), made)


def workers(jobs: int | None, pieces: int) -> int:
    """As many as cores, where nothing else is said."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs} is wrong", "give 1 at least")
    return max(1, min(jobs or os.cpu_count() or 1, pieces))


def _work(settings: Settings, name: str, plan: Planned, jobs: int) -> int:
    """How many pieces this run did. What fails does not stop the others: their results are kept, and then the first
    failure is raised."""
    progress, waiting = Progress(name, plan, jobs), Waiting(Workspace.open(settings).store)
    # the pool is left first, so that an interrupt ends what runs instead of waiting for it
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=jobs)
    with runner, Pool(jobs, progress.step) as pool:
        turn = _Turn(settings, progress, runner, pool)
        held = turn.over(plan.left)
        while held:
            progress.waits(len(held))
            time.sleep(_LOOKS_S)
            if free := waiting.free(held):
                held = [work for work in held if work not in free] + turn.over(free)
    if turn.failed:
        turn.failed[0].result()
    return turn.made


@dataclass(slots=True)
class _Turn:
    settings: Settings
    progress: Progress
    runner: ThreadPoolTaskRunner[Any]
    pool: Pool
    made: int = 0
    failed: list[PrefectFuture[Any]] = field(default_factory=list)

    def over(self, works: Sequence[Work]) -> list[Work]:
        """Each is done, found done or failed, but for those that another run is at."""
        held: list[Work] = []
        futures: dict[PrefectFuture[Any], Work] = {
            self.runner.submit(cell_task, {"settings": self.settings, "work": work, "run": self.pool.run}): work
            for work in works}
        for future in as_completed(list(futures)):
            work = futures[future]
            future.wait()  # without it, the state would be asked of the server, which may not have heard of it yet
            if not future.state.is_completed():
                self.failed.append(future)
                get_run_logger().error("%s failed: %s", work.told, future.state.message)
            elif (outcome := future.result()) == Outcome.HELD:
                held.append(work)
            else:
                self.made += outcome == Outcome.MADE
                self.progress.add(work, outcome == Outcome.MADE)
        return held
