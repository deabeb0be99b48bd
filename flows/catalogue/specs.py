"""The types of the catalogue: work pools, deployments with a schedule, automations. Nothing here knows a server."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qstar_core.records import JsonObject


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PoolSpec(Spec):
    """`limit` bounds the runs at the same time; None does not."""

    name: str
    type: str
    limit: int | None
    description: str


class ScheduleSpec(Spec):
    """Cron fields, or an interval."""

    slug: str
    cron: str | None = None
    every: timedelta | None = None
    time_zone: str = "UTC"


class DeploymentSpec(Spec):
    """`flow` is the flow's name, `entrypoint` where it is as `module.function`. `limit` bounds the deployment's own
    runs at the same time; what is one too many is cancelled, never queued behind a night that is not over."""

    flow: str
    entrypoint: str
    name: str
    pool: str
    description: str
    schedule: ScheduleSpec | None = None
    limit: int | None = None
    parameters: JsonObject
    working_dir: str | None = None

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


class RunSpec(Spec):
    """Run a deployment, by its full name; texts in `parameters` may be Jinja templates over the event."""

    deployment: str
    parameters: JsonObject = {}


class CrashSpec(Spec):
    """Mark the flow run that the event is about as crashed."""

    message: str


class NotifySpec(Spec):
    """Send a message through the block that the settings name."""

    subject: str
    body: str


class AutomationSpec(Spec):
    """When `expect` is seen (or, for `Absent`, is not seen `within` a time after `after`), do `action`. `match` narrows
    the event's resource by its labels; `of` narrows it to the runs of deployments, by their full names."""

    name: str
    description: str
    posture: Literal["Reactive", "Proactive"] = "Reactive"
    expect: tuple[str, ...]
    after: tuple[str, ...] = ()
    within: timedelta = timedelta(0)
    match: dict[str, str] = {}
    for_each: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    action: RunSpec | CrashSpec | NotifySpec


class Catalogue(Spec):
    """`tag` marks what belongs to it on a server that it shares with others."""

    tag: str
    pools: tuple[PoolSpec, ...]
    deployments: tuple[DeploymentSpec, ...]
    automations: tuple[AutomationSpec, ...]
    notify: str
