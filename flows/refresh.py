"""The nightly refresh: prompts in, one published dataset version out. Run again, it goes on where it stopped.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.runners import check_runner, sample_shards
from qstar_core.config import Settings
from qstar_core.errors import GateFailedError
from qstar_core.records import DatasetVersion, GateVerdict
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.plan import load_plan
from qstar_core.stages.publishing import published, refusal
from qstar_core.stages.reconciling import round_held
from qstar_core.stages.workspace import Workspace, today
from qstar_core.store.leases import Holder
from tasks.conclude import ask_task, filter_task, gate_task, publish_task, report_task
from tasks.events import Event, emit
from tasks.prepare import ingest_task, plan_task, resolve_models_task
from tasks.watching import AWAITS_APPROVAL, watched

_DEFAULTS = Settings()


def round_of_run(settings: Settings, round_name: str | None) -> str:
    """What was asked for, else the date on which the run was due, where its schedule is."""
    if round_name is not None:
        return round_name
    zone = ZoneInfo(settings.operations.time_zone)
    due: datetime | None = flow_run.scheduled_start_time
    return today(settings.operations.time_zone) if due is None else due.astimezone(zone).date().isoformat()


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    given = parameters["settings"]
    settings = given if isinstance(given, Settings) else Settings.model_validate(given)
    return f"{settings.dataset} round {round_of_run(settings, parameters.get('round_name'))}"


@flow(name="refresh", flow_run_name=_run_name)
def refresh(settings: Settings = _DEFAULTS, round_name: str | None = None) -> DatasetVersion | State[Any]:
    """Sample one round of training data from q*, filter it, judge it, and publish it if the gate lets it pass. What
    a person has to approve stays staged; then the run ends as AwaitingApproval."""
    name = round_of_run(settings, round_name)
    check_runner(settings)
    with watched(settings, name), round_held(Workspace.open(settings), name, str(flow_run.id), _tell_of_holder):
        return _round(settings, name)


def _tell_of_holder(holder: Holder) -> None:
    emit(Event("waiting", f"{holder.told} works on this round"))


def _round(settings: Settings, round_name: str) -> DatasetVersion | State[Any]:
    models = resolve_models_task(settings)
    ingested = ingest_task(settings, round_name)
    plan_key = plan_task(settings, ingested, models, str(flow_run.id))
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    finished = published(workspace, plan)
    if finished is not None:
        emit(Event("publish", text=f"{finished.dataset} {finished.version} is published already"))
        return finished
    left = []
    for shard in plan.shards:
        if ledger_entry(workspace.store, plan, shard.index) is None:
            left.append(shard.index)
        else:
            emit(Event("generate", done=shard.samples, total=plan.samples))
    sample_shards(settings, plan_key, left)
    filter_task(settings, plan_key)
    gate = gate_task(settings, plan_key)
    page = report_task(settings, plan_key)
    if gate.verdict is GateVerdict.FAIL:
        names = ", ".join(check.name for check in gate.failed())
        raise GateFailedError(refusal(workspace, plan), f"`latest` did not move; read {page} and mend the cause, "
                                                        f"or let it pass with --gate.warn_only '[{names}]'")
    asked = ask_task(settings, plan_key)
    if asked is not None:
        return Completed(name=AWAITS_APPROVAL, message=asked)
    return publish_task(settings, plan_key)
