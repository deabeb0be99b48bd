"""All slots of an engine in mid-sample, without prompts to read and without ends: what decoding alone costs.

Runs go on from the same state, so that every turn measures the same tokens at the same positions.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.smollm2_pair import CONTEXT, Bench
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.pair import TwoModels
from qstar_core.engine.protocol import Job
from qstar_core.engine.sequence import Sequence
from qstar_core.engine.slots import Slots
from qstar_core.engine.statistics import Statistics
from qstar_core.engine.stops import StopStrings
from qstar_core.engine.strategy import DIAGNOSTICS, Kept, Strategy
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer


class Stand:
    """Student and teacher with their prompts read, and every model on its own beside them."""

    def __init__(self, bench: Bench, teacher: LoadedModel, count: int) -> None:
        self.count = count
        self.vocab = max(bench.tokenizer.vocabulary.values()) + 1
        self.models = TwoModels(bench.model, teacher, count, CONTEXT, self.vocab, fixed_length=False)
        self.mixer = Mixer(AlphaOptions(), passes="auto")
        self._stops = StopStrings((), bench.tokenizer)
        self._jobs = [Job(str(slot), bench.pairs[slot], 0) for slot in range(count)]
        self._logits = [self.models.prefill(slot, job.pair) for slot, job in enumerate(self._jobs)]
        self.slots = self.seated()

    def seated(self) -> Slots:
        slots = Slots(self.count, self.vocab, torch.device("cpu"))
        for slot, job in enumerate(self._jobs):
            slots.seat(slot, Sequence.start(job, 0, CONTEXT, CONTEXT, self._stops), *self._logits[slot])
        return slots

    def run(self, strategy: Strategy, rounds: int, statistics: Statistics | None = None) -> float:
        """The tokens of a row, on average."""
        slots = self.seated()
        sequences = [Sequence.start(job, 0, CONTEXT, CONTEXT, self._stops) for job in self._jobs]
        tokens = 0
        for _ in range(rounds):
            drawn, kept = strategy.draw(slots), Kept()
            for slot, sequence in enumerate(sequences):
                before = len(sequence.tokens)
                for row in drawn.told[slot, : drawn.count_B[slot]]:
                    sequence.append(int(row[0]), row[DIAGNOSTICS:])
                kept.add(drawn, slot, len(sequence.tokens) - before)
                slots.advance(slot, sequence.tokens[before:], bool(drawn.ready_B[slot]))
            tokens += kept.tokens
            if statistics is not None:
                statistics.add(drawn, kept)
            strategy.read(slots, kept)
        return tokens / self.count

    def run_alone(self, role: str, rounds: int) -> float:
        """One model that draws for itself; the tokens of a row."""
        slots = self.seated()
        logits_B_V = slots.logits_theta_B_V if role == "student" else slots.logits_t_B_V
        prompt_B = slots.prompt_theta_B if role == "student" else slots.prompt_t_B
        for number in range(rounds):
            token_B = self.mixer.propose(logits_B_V, slots.key_B, torch.full((self.count,), number))
            logits_B_V = self.forward(role, token_B[:, None], prompt_B[:, None] + number)[:, -1]
        return rounds

    def forward(self, role: str, token_B_T: Tensor, position_B_T: Tensor) -> Tensor:
        real_B_T = torch.ones_like(token_B_T, dtype=torch.bool)
        if role == "student":
            return self.models.student(token_B_T[:, 0], position_B_T[:, 0], real_B_T[:, 0])[:, None]
        return self.models.teacher(token_B_T, position_B_T, real_B_T)


def dearer(model: LoadedModel, times: float) -> LoadedModel:
    """The same distribution at several times the cost: layers that are computed and add nothing, because what they put
    out is multiplied by 0. Acceptance is that of the model itself; only the cost is another's."""
    network = copy.deepcopy(model.network)
    layers = network.model.layers
    wanted = round(times * len(layers))
    while len(layers) < wanted:
        layer = copy.deepcopy(layers[len(layers) % len(model.network.model.layers)])
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.layer_idx = len(layers)
        layers.append(layer)
    network.config.num_hidden_layers = len(layers)
    if getattr(network.config, "layer_types", None):
        network.config.layer_types = ["full_attention"] * len(layers)
    return replace(model, network=network)
