"""What a Prefect server knows of a dataset's runs: the last ones, the next one, and who would run it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterName,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from flows.faults import server_faults
from qstar_core.config import Settings

LAST = 5


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    state: str
    at: datetime | None
    message: str


@dataclass(frozen=True, slots=True)
class Overview:
    """`workers` are the pools with a worker that answers, `next_at` when the next refresh is due."""

    workers: tuple[str, ...]
    last: tuple[Run, ...]
    next_at: datetime | None


def overview(settings: Settings) -> Overview:
    with server_faults("see that it runs, or unset PREFECT_API_URL"), get_client(sync_client=True) as client:
        pools = (settings.operations.pool, f"{settings.operations.pool}-gpu")
        return Overview(workers=tuple(pool for pool in pools if _works(client, pool)),
                        last=tuple(_last(client, settings.dataset)), next_at=_next(client, settings.dataset))


def _works(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
        return any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(pool))
    except ObjectNotFound:
        return False


def _last(client: SyncPrefectClient, dataset: str) -> list[Run]:
    """Rounds of the dataset, begun by hand or by the schedule, the newest first."""
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=f"{dataset} round "),
                                      start_time=FlowRunFilterStartTime(is_null_=False)),
        sort=FlowRunSort.START_TIME_DESC, limit=LAST)
    return [_run(run) for run in found]


def _next(client: SyncPrefectClient, dataset: str) -> datetime | None:
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[f"qstar:{dataset}", "auto-scheduled"]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC))),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=100)
    deployment = client.read_deployment_by_name(f"refresh/{dataset}") if found else None
    due = [run.expected_start_time for run in found if deployment and run.deployment_id == deployment.id]
    return due[0] if due else None


def _run(run: FlowRun) -> Run:
    state = run.state
    return Run(run.name, state.name if state and state.name else "unknown", run.start_time,
               " ".join((state.message or "").split()) if state else "")
