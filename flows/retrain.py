"""A student and a dataset version in, one checkpoint out. Run again, it goes on where it stopped. Nothing is promoted.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.records import Checkpoint
from tasks.train import train_task

_DEFAULTS = Settings()


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    settings = Settings.model_validate(parameters["settings"])
    recipe = settings.training.recipe if settings.training else "sft"
    return f"{settings.student.line} {recipe} on {parameters.get('data', 'latest')}"


@flow(name="retrain", flow_run_name=_run_name)
def retrain(settings: Settings = _DEFAULTS, data: str = "latest") -> Checkpoint:
    """Train the student on a version (or a folder) by the recipe of the settings."""
    return train_task(settings, data)
