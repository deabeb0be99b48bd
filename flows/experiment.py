"""The studies of a spec: pieces of work that have no result yet, in processes of one thread each. Run again, it goes on
with what is left.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

import os
from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from qstar_core.config import Settings
from qstar_core.errors import ConfigError
from qstar_core.experiments.planning import Planned, planned
from qstar_core.experiments.pool import Pool
from qstar_core.experiments.spec import load_spec
from qstar_core.experiments.work import Work
from qstar_core.stages.workspace import Workspace
from tasks.experiment import Progress, cell_task

_DEFAULTS = Settings()


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
    if plan.left:
        _work(settings, wanted.name, plan, workers(jobs, len(plan.left)))
    return Studied(wanted.name, store.locate("experiments"), plan.done + len(plan.left), len(plan.left))


def workers(jobs: int | None, pieces: int) -> int:
    """As many as cores, where nothing else is said."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs} is wrong", "give 1 at least")
    return max(1, min(jobs or os.cpu_count() or 1, pieces))


def _work(settings: Settings, name: str, plan: Planned, jobs: int) -> None:
    """What fails does not stop the others: their results are kept, and then the first failure is raised."""
    progress = Progress(name, plan.done, plan.left)
    failed: list[PrefectFuture[Any]] = []
    # the pool is left first, so that an interrupt ends what runs instead of waiting for it
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=jobs)
    with runner, Pool(jobs, progress.step) as pool:
        works: dict[PrefectFuture[Any], Work] = {
            runner.submit(cell_task, {"settings": settings, "work": work, "run": pool.run}): work
            for work in plan.left}
        for future in as_completed(list(works)):
            future.wait()  # without it, the state would be asked of the server, which may not have heard of it yet
            if future.state.is_completed():
                progress.add(works[future])
            else:
                failed.append(future)
                get_run_logger().error("%s failed: %s", works[future].told, future.state.message)
    if failed:
        failed[0].result()
