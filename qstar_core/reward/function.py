"""A reward model as the reward of GRPO and its kin: the raw score of every completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qstar_core.records import Message
from qstar_core.reward.model import RewardModel


class ModelReward:
    """Gold answers are not looked at."""

    name = "reward model"

    def __init__(self, model: RewardModel) -> None:
        self._model = model

    def __call__(self, prompts: Sequence[Sequence[dict[str, Any]]], completions: Sequence[str],
                 answers: Sequence[str]) -> list[float | None]:
        del answers
        asked = [tuple(Message(role=turn["role"], content=turn["content"]) for turn in turns) for turns in prompts]
        return list(self._model.score(asked, completions))
