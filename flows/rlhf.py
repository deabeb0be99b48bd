"""RLHF end to end: SFT on a version, a reward model that starts from that student, and GRPO by what the model says.

A run that was killed goes on in the training that it was in. Nothing is promoted. Annotations are real objects here,
not strings: Prefect makes the form of a deployment from them.
"""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.recipes import RewardSettings, RlhfSettings
from qstar_core.records import Checkpoint
from qstar_core.reward.finding import checkpoint_name
from tasks.reward import policy_task, reward_task
from tasks.train import train_task

_DEFAULTS = Settings()


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    settings = Settings.model_validate(parameters["settings"])
    return f"{settings.student.line} rlhf on {parameters.get('data', 'latest')}"


@flow(name="rlhf", flow_run_name=_run_name)
def rlhf(settings: Settings = _DEFAULTS, data: str = "latest") -> Checkpoint:
    """Train a student on a version, a reward model from it, and the student by the reward model."""
    wanted = settings.rlhf or RlhfSettings()
    student = train_task(settings.model_copy(update={"training": wanted.sft}), data)
    based = (settings.reward or RewardSettings()).model_copy(update={"base": checkpoint_name(student),
                                                                    "revision": None})
    reward = reward_task(settings.model_copy(update={"reward": based}))
    return policy_task(settings, data, student, reward)
