"""Preference pairs and a base in, one calibrated reward model out. Run again, it goes on where it stopped.

Annotations are real objects here, not strings: Prefect makes the form of a deployment from them.
"""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.recipes import RewardSettings
from qstar_core.records import Checkpoint
from tasks.reward import reward_task

_DEFAULTS = Settings()


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    wanted = Settings.model_validate(parameters["settings"]).reward or RewardSettings()
    return f"{wanted.line} on {wanted.pairs}"


@flow(name="reward-model", flow_run_name=_run_name)
def reward_model(settings: Settings = _DEFAULTS) -> Checkpoint:
    """Train and calibrate a reward model on preference pairs."""
    return reward_task(settings)
