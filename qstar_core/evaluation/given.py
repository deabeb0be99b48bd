"""What measures are made of: the problems of one set and what a model says to them. Nothing is sampled until a measure
asks for it, and no sample is drawn twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from qstar_core.config import EvaluationSettings, GateSettings, Settings
from qstar_core.errors import DataError, RowError
from qstar_core.evaluation.likelihood import Likelihood
from qstar_core.evaluation.speaker import GREEDY, OnReply, Speaker
from qstar_core.evaluation.verdicts import Correctness, Verdicts
from qstar_core.records import Prompt, PromptPair, Sample


class Given:
    """`prompts` are those that the model can take, `skipped` counts the others by reason."""

    def __init__(self, name: str, prompts: Sequence[Prompt], speaker: Speaker, verdicts: Verdicts,
                 settings: Settings, on_reply: OnReply | None = None) -> None:
        self.evaluation: EvaluationSettings = settings.evaluation
        self.gate: GateSettings = settings.gate
        self._speaker, self._verdicts, self._on_reply = speaker, verdicts, on_reply
        self.prompts: list[Prompt] = []
        self._pairs: list[PromptPair] = []
        skipped: Counter[str] = Counter()
        for prompt in prompts:
            try:
                self._pairs.append(speaker.render(prompt))
                self.prompts.append(prompt)
            except RowError as fault:
                skipped[str(fault)] += 1
        self.skipped = dict(sorted(skipped.items()))
        if not self.prompts:
            raise DataError(f"the model can take no problem of the set {name} ({skipped.most_common(1)[0][0]})",
                            "give the set problems in the model's vocabulary and context")

    @cached_property
    def greedy(self) -> list[Sample]:
        return [samples[0] for samples in self._speaker.reply(self._pairs, 1, GREEDY, self._on_reply)]

    @cached_property
    def drawn(self) -> list[tuple[Sample, ...]]:
        """`evaluation.draws` of every problem."""
        return self._speaker.reply(self._pairs, self.evaluation.draws, self.evaluation.temperature, self._on_reply)

    @cached_property
    def references(self) -> list[Likelihood]:
        """Of the worked solutions; without tokens where a problem has none."""
        return self._speaker.likelihoods(self._pairs, [prompt.solution or "" for prompt in self.prompts])

    def correct(self, replies: Sequence[Sequence[Sample]]) -> list[list[Correctness]]:
        """One list a problem."""
        return self._verdicts.of(self.prompts, replies)
