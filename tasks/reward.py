"""A reward model from pairs, and a policy that it rewards."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from qstar_core.checkpoints import fetch_checkpoint
from qstar_core.config import Settings
from qstar_core.recipes import RewardSettings, RlhfSettings
from qstar_core.records import Checkpoint
from qstar_core.reward.finding import checkpoint_name, find_reward_model
from qstar_core.reward.function import ModelReward
from qstar_core.reward.measures import RewardReport
from qstar_core.reward.model import load_reward_model
from qstar_core.stages.workspace import Workspace
from qstar_core.training.launch import run_training
from qstar_core.training.request import TrainRequest
from qstar_core.training.reward_run import RECIPE, make_reward_model
from tasks.artifacts import key_of
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient
from tasks.train import Shown


@task(name="train reward model", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def reward_task(settings: Settings) -> Checkpoint:
    """The checkpoint is in the store, calibrated; retried or run again, it goes on from the last state."""
    line = (settings.reward or RewardSettings()).line
    shown = Shown(line, RECIPE)
    made = make_reward_model(settings, Workspace.open(settings).store, shown)
    report_artifact(line, made.report)
    shown.end(made.checkpoint)
    return made.checkpoint


def report_artifact(line: str, report: RewardReport) -> None:
    rows = {"all pairs": report.accuracy, **report.by_kind}
    create_table_artifact(
        key=key_of(line.replace("_", "-"), "reward"),
        description=f"Reward model {line}, pairs held out. Calibration error {report.ece_before:.3f} before, "
                    f"{report.ece_after:.3f} after",
        table=[{"pairs": name, "accuracy": one.value, "count": one.pairs,
                "95 % interval": f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"} for name, one in rows.items()])


@task(name="train policy", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def policy_task(settings: Settings, data: str, student: Checkpoint, reward: Checkpoint) -> Checkpoint:
    """GRPO from one checkpoint, by the score of another."""
    store = Workspace.open(settings).store
    wanted = settings.rlhf or RlhfSettings()
    folder = str(fetch_checkpoint(store, student))
    given = settings.model_copy(update={
        "training": wanted.policy,
        "student": settings.student.model_copy(update={"model": folder, "revision": None, "base": None})})
    model = load_reward_model(find_reward_model(store, checkpoint_name(reward)), wanted.policy.device)
    get_run_logger().info("rewarded by %s", model.name)
    request = TrainRequest(settings=given, data=data)
    shown = Shown(settings.student.line, request.recipe_name)
    checkpoint = run_training(request, store, shown, ModelReward(model))
    shown.end(checkpoint)
    return checkpoint
