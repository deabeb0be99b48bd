"""A reward model against pairs that it was not trained on: the report, and the calibration that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qstar_core.reward.calibration import Calibration, Method, fit
from qstar_core.reward.measures import RewardReport, report
from qstar_core.reward.model import RewardModel
from qstar_core.reward.pairs import PreferencePair


@dataclass(frozen=True, slots=True)
class Judged:
    """The calibration is fitted to all of the pairs; the report's figures are cross-fitted."""

    report: RewardReport
    calibration: Calibration


def judge(model: RewardModel, pairs: Sequence[PreferencePair], method: Method) -> Judged:
    prompts = [pair.prompt for pair in pairs]
    scores = model.score([*prompts, *prompts], [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)])
    chosen, rejected = scores[: len(pairs)], scores[len(pairs) :]
    return Judged(report(pairs, chosen, rejected, method), fit(np.asarray(chosen), np.asarray(rejected), method))
