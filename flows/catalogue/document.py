"""The catalogue as a prefect.yaml, for those who deploy with `prefect deploy` and for reading. Work pools and
automations that follow events between flows are only in `qstar deploy`.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from flows.catalogue.deploying import accepted
from flows.catalogue.entries import catalogue
from flows.catalogue.specs import DeploymentSpec, ScheduleSpec
from qstar_core.config import Settings

_HEAD = """\
# Made from flows/catalogue by `qstar deploy --write infra/prefect.yaml`; a test compares. `qstar deploy` itself also
# makes the work pools and the automations, and removes what is no longer wanted.
"""


def document(settings: Settings) -> str:
    made = catalogue(settings)
    content = {"name": "qstar", "prefect-version": "3.7", "build": None, "push": None, "pull": None,
               "deployments": [_deployment(spec, made.tag) for spec in made.deployments]}
    return _HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=118)


def _deployment(spec: DeploymentSpec, tag: str) -> dict[str, Any]:
    limit = {"concurrency_limit": {"limit": spec.limit, "collision_strategy": "CANCEL_NEW"}} if spec.limit else {}
    schedules = {"schedules": [_schedule(spec.schedule)]} if spec.schedule else {}
    return {"name": spec.name, "entrypoint": spec.entrypoint, "description": spec.description, "tags": ["qstar", tag],
            "parameters": copy.deepcopy(accepted(spec)), "work_pool": {"name": spec.pool}, **limit, **schedules}


def _schedule(spec: ScheduleSpec) -> dict[str, Any]:
    when = {"cron": spec.cron} if spec.cron is not None else {
        "interval": int(spec.every.total_seconds()) if spec.every else None}
    return {"slug": spec.slug, **when, "timezone": spec.time_zone}
