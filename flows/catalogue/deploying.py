"""A deployment as the catalogue wants it and as a server has it, in the same form, so that they can be compared."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.types._datetime import create_datetime_instance
from pydantic import BaseModel, ConfigDict

from flows.catalogue.specs import DeploymentSpec, ScheduleSpec
from qstar_core.errors import ConfigError
from qstar_core.records import JsonObject

Schedule = CronSchedule | IntervalSchedule
# Intervals count from here, so that applying the catalogue again does not move them.
_ANCHOR = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


class DeploymentFields(BaseModel):
    """What the catalogue decides. Whether a schedule is paused is left to whoever paused it."""

    model_config = ConfigDict(frozen=True)

    entrypoint: str | None
    description: str | None
    pool: str | None
    tags: tuple[str, ...]
    parameters: JsonObject
    form: JsonObject
    limit: int | None
    collision: str | None
    schedules: tuple[JsonObject, ...]
    job_variables: JsonObject


def desired(spec: DeploymentSpec, tag: str) -> DeploymentFields:
    return DeploymentFields(
        entrypoint=spec.entrypoint, description=spec.description, pool=spec.pool, tags=("qstar", tag),
        parameters=accepted(spec), form=_form(spec), limit=spec.limit,
        collision=ConcurrencyLimitStrategy.CANCEL_NEW.value if spec.limit else None,
        schedules=tuple(_schedule_fields(spec.schedule.slug, schedule_of(spec.schedule))
                        for _ in [0] if spec.schedule is not None),
        job_variables={"working_dir": spec.working_dir} if spec.working_dir else {},
    )


def current(found: DeploymentResponse) -> DeploymentFields:
    limit, options = found.global_concurrency_limit, found.concurrency_options
    return DeploymentFields(
        entrypoint=found.entrypoint, description=found.description, pool=found.work_pool_name, tags=tuple(found.tags),
        parameters=found.parameters, form=found.parameter_openapi_schema or {},
        limit=limit.limit if limit else None, collision=options.collision_strategy.value if options else None,
        schedules=tuple(_schedule_fields(schedule.slug or "", schedule.schedule) for schedule in found.schedules),
        job_variables=found.job_variables,
    )


def create(client: SyncPrefectClient, spec: DeploymentSpec, wanted: DeploymentFields,
           before: DeploymentResponse | None) -> UUID:
    """Make it, or replace what the server has under its name."""
    paused = {schedule.slug for schedule in before.schedules if not schedule.active} if before else set()
    schedules = []
    if spec.schedule is not None:
        schedules.append(DeploymentScheduleCreate(schedule=schedule_of(spec.schedule), slug=spec.schedule.slug,
                                                  active=spec.schedule.slug not in paused))
    return client.create_deployment(
        client.create_flow_from_name(spec.flow), spec.name, entrypoint=wanted.entrypoint,
        description=wanted.description, work_pool_name=wanted.pool, tags=list(wanted.tags),
        parameters=wanted.parameters, parameter_openapi_schema=wanted.form, enforce_parameter_schema=True,
        concurrency_limit=wanted.limit, schedules=schedules, job_variables=wanted.job_variables,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
        if wanted.limit else None,
    )


def schedule_of(spec: ScheduleSpec) -> Schedule:
    try:
        if spec.cron is not None:
            return CronSchedule(cron=spec.cron, timezone=spec.time_zone)
    except ValueError:
        raise ConfigError(f"operations.cron = {spec.cron!r} is not a schedule",
                          "give five cron fields, such as 0 2 * * *") from None
    assert spec.every is not None
    return IntervalSchedule(interval=spec.every, anchor_date=create_datetime_instance(_ANCHOR), timezone=spec.time_zone)


def _schedule_fields(slug: str, schedule: Any) -> JsonObject:
    fields: JsonObject = schedule.model_dump(mode="json")
    if "anchor_date" in fields:
        fields["anchor_date"] = datetime.fromisoformat(fields["anchor_date"].replace("Z", "+00:00")).isoformat()
    return {"slug": slug, **fields}


def accepted(spec: DeploymentSpec) -> JsonObject:
    """Of the catalogue's parameters those that the flow has."""
    names = _flow(spec).parameters.properties
    return {name: value for name, value in spec.parameters.items() if name in names}


def _form(spec: DeploymentSpec) -> JsonObject:
    return _flow(spec).parameters.model_dump_for_openapi()


def _flow(spec: DeploymentSpec) -> Flow[..., Any]:
    flow: Flow[..., Any] = load_flow_from_entrypoint(spec.entrypoint)
    assert flow.name == spec.flow, f"{spec.entrypoint} is the flow {flow.name}, not {spec.flow}"
    return flow
