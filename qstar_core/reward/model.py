"""A trained reward model: conversations and replies in, raw scores out, alike alone and in a batch.

Of a conversation that is too long the end is read, which is the reply's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qstar_core.engine.scoring import ConversationTokenizer, ScoringNetwork
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.models import present, resolve
from qstar_core.records import Message, ModelRef
from qstar_core.reward.calibration import Calibration, read_calibration

_TOKENS = 8192
_ROWS = 64


class RewardModel:
    """`calibration` is None where the checkpoint brings none: then raw scores mean something only beside each other."""

    def __init__(self, name: str, folder: Path, device: str, calibration: Calibration | None) -> None:
        self.name = name
        self.calibration = calibration
        self._tokenizer = ConversationTokenizer(folder)
        self._network = ScoringNetwork(folder, device)

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[float]:
        """The same text twice is read once, so that its scores are the same to the last bit."""
        asked = [tuple(self._ids(prompt, completion)) for prompt, completion in zip(prompts, completions, strict=True)]
        known: dict[tuple[int, ...], float] = {}
        for batch in _batches(sorted(set(asked), key=lambda ids: (len(ids), ids))):
            known.update(zip(batch, self._network.scores(batch), strict=True))
        return [known[ids] for ids in asked]

    def probability(self, raw: float) -> float:
        """That a reply with this score is a good one."""
        return self._calibrated().probability(raw)

    def preference(self, first: float, second: float) -> float:
        """That the reply with the first score is the better one of two."""
        return self._calibrated().preference(first - second)

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise ConfigError(f"the reward model {self.name} is not calibrated",
                              "fit it to pairs: qstar reward report --save")
        return self.calibration

    def _ids(self, prompt: Sequence[Message], completion: str) -> list[int]:
        try:
            ids, _ = self._tokenizer.ids(prompt, completion)
        except RowError as fault:
            raise DataError(f"{self.name}: {fault}", "drop such prompts, or take a reward model for them") from None
        return ids[-self._network.window :]


def _batches(rows: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Rows in the order of their length, each batch within a number of rows and of tokens."""
    batches: list[list[tuple[int, ...]]] = []
    for row in rows:
        if not batches or len(batches[-1]) >= _ROWS or (len(batches[-1]) + 1) * len(row) > _TOKENS:
            batches.append([])
        batches[-1].append(row)
    return batches


def load_reward_model(ref: str | ModelRef, device: str = "auto", revision: str | None = None) -> RewardModel:
    """`ref` is a folder, a hub id, or what either was resolved to. ModelError where it was not made to score, is
    damaged, or brings the calibration of other weights."""
    found = resolve(ref, revision) if isinstance(ref, str) else present(ref)
    folder = Path(found.path)
    return RewardModel(found.name, folder, device, read_calibration(folder))
