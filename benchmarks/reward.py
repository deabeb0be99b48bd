"""`make bench NAME=reward`: a reward model on the embedded task, from the built-in student: what it gets right on
prompts and on kinds of faults that it was not trained on, its calibration, and what training and scoring cost.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.results import Figure, record
from qstar_core.models import resolve
from qstar_core.recipes import RewardSettings
from qstar_core.reward.corruptions import SEEN, UNSEEN
from qstar_core.reward.judging import judge
from qstar_core.reward.measures import RewardReport
from qstar_core.reward.model import RewardModel, load_reward_model
from qstar_core.reward.pairs import PreferencePair
from qstar_core.reward.reading import BUILTIN_UNSEEN, read_pairs
from qstar_core.training.reward import train_reward_model
from qstar_core.training.watching import Progress

SETTINGS = RewardSettings(
    base="builtin:tiny-student", limit=16000, warm_start=600, warm_start_rate=3e-3, extra_layers=1, learning_rate=2e-3,
    batch_size=32, micro_batch=32, max_steps=1000, max_length=256, validation=0.1, device="cpu", tensorboard=False)
_UNSEEN_PAIRS = 600


class _Curve:
    """The losses of the training on pairs, without those of the warm start, which come first."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, progress: Progress) -> None:
        if progress.step and "accuracy" in progress.metrics:
            self.losses.append(progress.metrics["loss"])
        if progress.text or progress.step % 100 == 0:
            print(f"{time.process_time():6.0f} CPU s  {progress.text or progress}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    curve = _Curve()
    with tempfile.TemporaryDirectory() as work:
        start = time.process_time()
        made = train_reward_model(SETTINGS, resolve(SETTINGS.base, None), read_pairs(SETTINGS), Path(work), curve)
        seconds = time.process_time() - start
        model = load_reward_model(str(made.folder), "cpu")
        unseen = read_pairs(SETTINGS.model_copy(update={"limit": _UNSEEN_PAIRS}), BUILTIN_UNSEEN).pairs
        faults = judge(model, unseen, SETTINGS.calibration).report
        rate = _scored_per_second(model, unseen)
    found = made.judged.report
    tenth = max(1, len(curve.losses) // 10)
    fallen = sum(curve.losses[-tenth:]) / sum(curve.losses[:tenth])
    record("reward", [
        Figure("reward-accuracy", found.accuracy.value, f"of {found.accuracy.pairs} pairs held out", 0.9,
               at_most=False),
        Figure("reward-accuracy-unseen-faults", faults.accuracy.value,
               f"of {faults.accuracy.pairs} pairs; 0.5 is no learning", 0.5, at_most=False),
        *_by_kind(found), *_by_kind(faults),
        Figure("reward-loss", fallen, "× the loss of the first tenth of the steps, in the last", 1.0),
        Figure("reward-ece-before", found.ece_before, "calibration error of the raw scores"),
        Figure("reward-ece-after", found.ece_after, "calibrated, cross-fitted", 0.05),
        Figure("reward-length", found.length.score_with_length or 0.0, "correlation of score and length"),
        Figure("reward-steps", (SETTINGS.max_steps or 0) / (seconds or 1), "steps/CPU s, warm start included"),
        Figure("reward-training", seconds, "CPU s"),
        Figure("reward-scored", rate, "replies/CPU s"),
        Figure("reward-memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB, peak of the process"),
    ], "make bench NAME=reward",
        f"{made.trained_on} pairs of {len(SEEN)} kinds of faults, {len(UNSEEN)} kinds kept out; {SETTINGS.warm_start} "
        f"steps of warm start, {SETTINGS.max_steps} of {SETTINGS.batch_size} pairs, one thread.")


def _by_kind(report: RewardReport) -> list[Figure]:
    return [Figure(f"reward-{kind.replace('_', '-')}", one.value, f"of {one.pairs}")
            for kind, one in report.by_kind.items()]


def _scored_per_second(model: RewardModel, pairs: tuple[PreferencePair, ...]) -> float:
    prompts, replies = [pair.prompt for pair in pairs] * 2, [pair.chosen for pair in pairs] + [
        pair.rejected for pair in pairs]
    start = time.process_time()
    model.score(prompts, replies)
    return len(replies) / (time.process_time() - start)


if __name__ == "__main__":
    main()
