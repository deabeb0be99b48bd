"""The catalogue of a dataset: which flows are deployed, when they run, what follows from what. One entry, one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.catalogue.specs import (
    AutomationSpec,
    Catalogue,
    CrashSpec,
    DeploymentSpec,
    NotifySpec,
    PoolSpec,
    RunSpec,
    ScheduleSpec,
)
from flows.parameters import as_parameter
from qstar_core.config import Settings
from qstar_core.records import JsonObject
from tasks.watching import AWAITS_APPROVAL, GATE_FAILED, PUBLISHED, STOPPED, WAITS, dataset_resource

HEARTBEAT_S = 30
_SILENT = timedelta(seconds=3 * HEARTBEAT_S + 5)
_BEGINS = timedelta(minutes=15)
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed", AWAITS_APPROVAL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A flow to deploy. `gpu` puts it where models are loaded, one run at a time."""

    flow: str
    entrypoint: str
    description: str
    gpu: bool = False
    schedule: Callable[[Settings], ScheduleSpec] | None = None


def _nightly(settings: Settings) -> ScheduleSpec:
    return ScheduleSpec(slug="nightly", cron=settings.operations.cron, time_zone=settings.operations.time_zone)


def _often(settings: Settings) -> ScheduleSpec:
    return ScheduleSpec(slug="often", every=timedelta(minutes=settings.operations.reconcile_minutes))


ENTRIES = (
    Entry("refresh", "flows.refresh.refresh", "One round of training data from q*, published if the gate lets it pass",
          gpu=True, schedule=_nightly),
    Entry("publish-approved", "flows.publish_approved.publish_approved",
          "Publish a version with warnings after a person approved it"),
    Entry("retrain", "flows.retrain.retrain", "One checkpoint of the student, trained on a version", gpu=True),
    Entry("loop", "flows.loop.loop", "Rounds of refresh, retrain, evaluate and promote", gpu=True),
    Entry("reward-model", "flows.reward_model.reward_model", "One calibrated reward model from pairs", gpu=True),
    Entry("experiment", "flows.experiment.experiment", "The studies of a spec that have no result yet", gpu=True),
    Entry("reconcile", "flows.reconcile.reconcile", "Take up what was left undone, and what an event was lost for",
          schedule=_often),
)


def catalogue(settings: Settings, working_dir: Path | None = None) -> Catalogue:
    """`working_dir` is where process workers run the flows; relative paths of the settings count from there."""
    operations, dataset = settings.operations, settings.dataset
    pools = (
        PoolSpec(name=operations.pool, type=operations.pool_type, limit=None, description="Flows that load no model"),
        PoolSpec(name=f"{operations.pool}-gpu", type=operations.pool_type, limit=operations.gpu_runs,
                 description="Flows that load models"),
    )
    folder = str(working_dir) if working_dir is not None and operations.pool_type == "process" else None
    parameters: JsonObject = {"settings": as_parameter(settings)}
    deployments = tuple(
        DeploymentSpec(flow=entry.flow, entrypoint=entry.entrypoint, name=dataset, description=entry.description,
                       pool=pools[entry.gpu].name, schedule=entry.schedule(settings) if entry.schedule else None,
                       limit=1 if entry.gpu or entry.schedule else None, parameters=parameters, working_dir=folder)
        for entry in ENTRIES
    )
    return Catalogue(tag=f"qstar:{dataset}", pools=pools, deployments=deployments, notify=operations.notify,
                     automations=_automations(settings, [f"{entry.flow}/{dataset}" for entry in ENTRIES if entry.gpu]))


def _automations(settings: Settings, gpu_deployments: list[str]) -> tuple[AutomationSpec, ...]:
    dataset = settings.dataset
    mine = {"prefect.resource.id": dataset_resource(dataset)}
    found = [
        AutomationSpec(
            name=f"qstar {dataset}: resume what crashed", expect=("prefect.flow-run.Crashed",),
            description="A run whose process died is taken up by `reconcile`, which counts how often",
            of=tuple(gpu_deployments), for_each=("prefect.resource.id",),
            action=RunSpec(deployment=f"reconcile/{dataset}")),
        AutomationSpec(
            name=f"qstar {dataset}: runs without a heartbeat", posture="Proactive", within=_SILENT,
            description="A run whose process and worker died together is marked as crashed",
            after=("prefect.flow-run.heartbeat",), for_each=("prefect.resource.id",),
            expect=("prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in _ENDS)),
            match={"prefect.resource.id": "prefect.flow-run.*"},
            action=CrashSpec(message="its process gave no sign of life for a minute and a half")),
        AutomationSpec(
            name=f"qstar {dataset}: runs that never began", posture="Proactive", within=_BEGINS,
            description="A run whose worker died between taking it and starting it is marked as crashed",
            after=("prefect.flow-run.Submitting", "prefect.flow-run.Pending"), for_each=("prefect.resource.id",),
            expect=("prefect.flow-run.Running", *(f"prefect.flow-run.{end}" for end in _ENDS)),
            of=tuple(gpu_deployments), action=CrashSpec(message="its worker took it and did not start it")),
    ]
    if settings.training is not None:
        found.append(AutomationSpec(
            name=f"qstar {dataset}: train on what was published", expect=(PUBLISHED,), match=mine,
            description="Every new version is trained on, once", for_each=("prefect.resource.id",),
            action=RunSpec(deployment=f"retrain/{dataset}", parameters={
                "data": "{{ event.payload.version }}", "again": False})))
    if settings.operations.notify:
        found += _notifications(settings, mine)
    return tuple(found)


def _notifications(settings: Settings, mine: dict[str, str]) -> list[AutomationSpec]:
    dataset, hours = settings.dataset, settings.operations.missed_after_hours
    told = "Round {{ event.payload.round }}: {{ event.payload.problem }}"
    return [
        AutomationSpec(name=f"qstar {dataset}: tell that the gate failed", expect=(GATE_FAILED,), match=mine,
                       description="A round was refused", for_each=("prefect.resource.id",),
                       action=NotifySpec(subject=f"qstar: the gate refused a round of {dataset}", body=told)),
        AutomationSpec(name=f"qstar {dataset}: tell that a person is waited for", expect=(WAITS,), match=mine,
                       description="A version with warnings waits for approval", for_each=("prefect.resource.id",),
                       action=NotifySpec(subject=f"qstar: a version of {dataset} waits for a person", body=told)),
        AutomationSpec(name=f"qstar {dataset}: tell that the loop stopped", expect=(STOPPED,), match=mine,
                       description="Work was given up until a person looks", for_each=("prefect.resource.id",),
                       action=NotifySpec(subject=f"qstar: {dataset} stopped", body=told)),
        AutomationSpec(name=f"qstar {dataset}: tell that a night was missed", posture="Proactive", expect=(PUBLISHED,),
                       description=f"No new version for {hours:g} hours", match=mine, after=(PUBLISHED,),
                       for_each=("prefect.resource.id",), within=timedelta(hours=hours),
                       action=NotifySpec(subject=f"qstar: no new version of {dataset}",
                                         body=f"Nothing was published for {hours:g} hours.")),
    ]
