"""A version with warnings that waits (`gate.on_warn: approve`) → published, once a person has approved it.

The approval is a parameter of the run, a form in the Prefect UI. Left out, the run pauses and its Resume button shows
the form. No model is loaded: the process that waits is small. What the gate refused ends at once.
"""

from prefect import flow
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from qstar_core.config import Settings
from qstar_core.records import DatasetVersion
from qstar_core.stages.approving import check_approvable, staged_plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions
from tasks.conclude import approve_task, publish_task

_DEFAULTS = Settings()
_DAY_S = 86_400
_POLL_S = 5


class ApprovalForm(RunInput):
    approved_by: str = Field(description="Who has read the report and lets this version pass")
    comment: str = Field("", description="Why; kept in the manifest")


@flow(name="publish-approved", flow_run_name="publish {version}")
def publish_approved(version: str, settings: Settings = _DEFAULTS, approval: ApprovalForm | None = None,
                     wait_s: int = _DAY_S) -> DatasetVersion:
    """Publish a staged version with warnings after a person approved it."""
    workspace = Workspace.open(settings)
    versions = Versions(workspace.store, settings.dataset)
    if versions.exists(version):
        return versions.reference(version)
    plan = staged_plan(workspace, settings.dataset, version)
    check_approvable(workspace, plan)
    if approval is None:
        approval = pause_flow_run(wait_for_input=ApprovalForm, timeout=wait_s, poll_interval=_POLL_S)
    approve_task(settings, plan.plan_key, approval.approved_by, approval.comment)
    return publish_task(settings, plan.plan_key)
