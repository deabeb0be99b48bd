"""An automation of the catalogue in Prefect's form, and the fields in which two of them are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.catalogue.specs import AutomationSpec, CrashSpec, NotifySpec
from qstar_core.records import JsonObject

Action = RunDeployment | ChangeFlowRunState | SendNotification


def automation_of(spec: AutomationSpec, tag: str, deployments: Mapping[str, UUID],
                  notify: UUID | None) -> AutomationCore:
    """`deployments` has the ids of full names, `notify` is the block that messages go to."""
    related: dict[str, Any] = {}
    if spec.of:
        related = {"prefect.resource.role": "deployment",
                   "prefect.resource.id": [f"prefect.deployment.{deployments[name]}" for name in spec.of]}
    trigger = EventTrigger(posture=Posture(spec.posture), expect=set(spec.expect), after=set(spec.after),
                           within=spec.within, match=spec.match, match_related=related, for_each=set(spec.for_each),
                           threshold=1)
    return AutomationCore(name=spec.name, description=spec.description, tags=["qstar", tag], trigger=trigger,
                          actions=[_action(spec, deployments, notify)])


def fields_of(automation: AutomationCore) -> JsonObject:
    """Sets in an order of their own; whether it is enabled is left to whoever disabled it."""
    fields = automation.model_dump(mode="json", include={"description", "tags", "trigger", "actions"})
    for name in ("expect", "after", "for_each"):
        fields["trigger"][name] = sorted(fields["trigger"][name])
    return fields


def _action(spec: AutomationSpec, deployments: Mapping[str, UUID], notify: UUID | None) -> Action:
    if isinstance(spec.action, CrashSpec):
        return ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=spec.action.message)
    if isinstance(spec.action, NotifySpec):
        assert notify is not None
        return SendNotification(block_document_id=notify, subject=spec.action.subject, body=spec.action.body)
    return RunDeployment(source="selected", deployment_id=deployments[spec.action.deployment],
                         parameters=spec.action.parameters or None)
