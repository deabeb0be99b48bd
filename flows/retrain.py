"""A student and a dataset version in, one checkpoint out. Run again, it goes on where it stopped. Nothing is promoted.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.records import Checkpoint
from qstar_core.stages.retraining import trained_on, version_held
from qstar_core.stages.workspace import Workspace
from qstar_core.store.leases import Holder
from tasks.events import Event, emit
from tasks.train import train_task

_DEFAULTS = Settings()


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    settings = Settings.model_validate(parameters["settings"])
    recipe = settings.training.recipe if settings.training else "sft"
    return f"{settings.student.line} {recipe} on {parameters.get('data', 'latest')}"


@flow(name="retrain", flow_run_name=_run_name)
def retrain(settings: Settings = _DEFAULTS, data: str = "latest", again: bool = True) -> Checkpoint:
    """Train the student on a version (or a folder) by the recipe of the settings. With `again` off, a version that the
    line was trained on before is not trained on once more."""
    workspace = Workspace.open(settings)
    with version_held(workspace, data, str(flow_run.id), _tell_of_holder) as version:
        made = None if again or version is None else trained_on(workspace, version)
        return train_task(settings, data) if made is None else made


def _tell_of_holder(holder: Holder) -> None:
    emit(Event("waiting", f"{holder.told} is at work"))
