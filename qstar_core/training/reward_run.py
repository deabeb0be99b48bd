"""Pairs and a base as the settings name them → a calibrated reward model in the store.

Run again after a kill it goes on from the last sound state; what is in the store is whole.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from qstar_core.checkpoints import save_checkpoint
from qstar_core.config import Settings
from qstar_core.recipes import RewardSettings
from qstar_core.records import Checkpoint, content_hash
from qstar_core.reward.finding import find_reward_model
from qstar_core.reward.measures import RewardReport
from qstar_core.reward.reading import read_pairs
from qstar_core.store.objects import ObjectStore
from qstar_core.training.reward import train_reward_model
from qstar_core.training.run import run_folder
from qstar_core.training.watching import OnProgress, Progress

RECIPE = "reward"


@dataclass(frozen=True, slots=True)
class MadeReward:
    checkpoint: Checkpoint
    report: RewardReport


def make_reward_model(settings: Settings, store: ObjectStore, on_progress: OnProgress) -> MadeReward:
    wanted = settings.reward or RewardSettings()
    base = find_reward_model(store, wanted.base, wanted.revision)
    pairs = read_pairs(wanted)
    on_progress(Progress(text=_told(wanted, len(pairs.pairs), pairs.dropped)))
    key = content_hash([wanted.model_dump(mode="json"), base.sha256, [pair.model_dump() for pair in pairs.pairs]])[:16]
    with run_folder(f"reward-{key}") as folder:
        made = train_reward_model(wanted, base, pairs, folder, on_progress)
        report = made.judged.report
        metrics = {**made.metrics, "accuracy_held_out": report.accuracy.value, "ece_before": report.ece_before,
                   "ece_after": report.ece_after, "trained_on": float(made.trained_on)}
        checkpoint = save_checkpoint(store, made.folder, line=wanted.line, recipe=RECIPE, metrics=metrics,
                                     settings=wanted.model_dump(mode="json"), parents=(base.sha256,))
        shutil.rmtree(folder)
    on_progress(Progress(text=f"right in {report.accuracy.value:.1%} of {report.accuracy.pairs} pairs held out"))
    return MadeReward(checkpoint, report)


def _told(settings: RewardSettings, count: int, dropped: dict[str, int]) -> str:
    reasons = "".join(f", {number} left out ({reason})" for reason, number in dropped.items())
    return f"{count} pairs of {settings.pairs}{reasons}"
