"""All slots of an engine in mid-sample, without prompts to read and without ends: what decoding alone costs.

Runs go on from the same state, at the same positions; of the same draws, unless they are told to begin at others.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Several
from typing import Literal

import torch
from torch import Tensor

from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.pair import TwoModels
from qstar_core.engine.protocol import Job
from qstar_core.engine.sequence import Sequence
from qstar_core.engine.slots import Slots
from qstar_core.engine.statistics import Statistics
from qstar_core.engine.stops import StopStrings
from qstar_core.engine.strategy import DIAGNOSTICS, Kept, Strategy
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer
from qstar_core.records import PromptPair

Role = Literal["student", "teacher"]


class Stand:
    """Student and teacher with their prompts read, one a slot, and every model on its own beside them. Of the logits
    the first `vocab` columns count."""

    def __init__(self, student: LoadedModel, teacher: LoadedModel, tokenizer: ChatTokenizer,
                 pairs: Several[PromptPair], context: int, vocab: int) -> None:
        self.count, self.vocab = len(pairs), vocab
        self.models = TwoModels(student, teacher, self.count, context, vocab, fixed_length=False)
        self.mixer = Mixer(AlphaOptions(), passes="auto")
        self._pairs, self._context = pairs, context
        self._stops = StopStrings((), tokenizer)
        self._logits = [self.models.prefill(slot, pair) for slot, pair in enumerate(pairs)]
        self.slots = self.seated()

    def seated(self, length: int | None = None, first_draw: int = 0) -> Slots:
        """Samples of `length` tokens, or as many as the context has room for."""
        slots = Slots(self.count, self.vocab, torch.device("cpu"))
        for slot, sequence in enumerate(self._sequences(length, first_draw)):
            slots.seat(slot, sequence, *self._logits[slot])
        return slots

    def run(self, strategy: Strategy, rounds: int, statistics: Statistics | None = None,
            first_draw: int = 0) -> float:
        """The tokens of a row, on average. It ends early where the context is full."""
        slots, sequences = self.seated(first_draw=first_draw), self._sequences(first_draw=first_draw)
        for _ in range(rounds):
            if not bool(slots.seated_B.any()):
                break
            self._round(strategy, slots, sequences, statistics)
        return sum(len(sequence.tokens) for sequence in sequences) / self.count

    def samples(self, strategy: Strategy, length: int, first_draw: int) -> Iterator[tuple[int, ...]]:
        """One whole sample of every slot; their draws are numbered from `first_draw`."""
        slots, sequences = self.seated(length, first_draw), self._sequences(length, first_draw)
        while bool(slots.seated_B.any()):
            self._round(strategy, slots, sequences, None)
        for sequence in sequences:
            yield tuple(sequence.tokens)

    def run_alone(self, role: Role, rounds: int) -> float:
        """One model that draws for itself; the tokens of a row."""
        slots = self.seated()
        logits_B_V = slots.logits_theta_B_V if role == "student" else slots.logits_t_B_V
        prompt_B = slots.prompt_theta_B if role == "student" else slots.prompt_t_B
        for number in range(rounds):
            token_B = self.mixer.propose(logits_B_V, slots.key_B, torch.full((self.count,), number))
            logits_B_V = self.forward(role, token_B[:, None], prompt_B[:, None] + number)[:, -1]
        return rounds

    def forward(self, role: Role, token_B_T: Tensor, position_B_T: Tensor) -> Tensor:
        real_B_T = torch.ones_like(token_B_T, dtype=torch.bool)
        if role == "student":
            return self.models.student(token_B_T[:, 0], position_B_T[:, 0], real_B_T[:, 0])[:, None]
        return self.models.teacher(token_B_T, position_B_T, real_B_T)

    def _sequences(self, length: int | None = None, first_draw: int = 0) -> list[Sequence]:
        jobs = (Job(str(slot), pair, first_draw + slot) for slot, pair in enumerate(self._pairs))
        return [Sequence.start(job, 0, length or self._context, self._context, self._stops) for job in jobs]

    def _round(self, strategy: Strategy, slots: Slots, sequences: list[Sequence],
               statistics: Statistics | None) -> None:
        drawn, kept = strategy.draw(slots), Kept()
        for slot, sequence in enumerate(sequences):
            if not slots.seated_B[slot]:
                continue
            before = len(sequence.tokens)
            for row in drawn.told[slot, : drawn.count_B[slot]]:
                sequence.append(int(row[0]), row[DIAGNOSTICS:])
            kept.add(drawn, slot, len(sequence.tokens) - before)
            slots.advance(slot, sequence.tokens[before:], bool(drawn.ready_B[slot]))
            if len(sequence.tokens) >= sequence.limit:
                slots.release(slot)
        if statistics is not None:
            statistics.add(drawn, kept)
        strategy.read(slots, kept)
