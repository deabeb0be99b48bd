"""`make bench NAME=engine-mix-share`: solving α, diagnosing and drawing, as a share of a whole decoding step of both
models: SmolLM2-135M with two forwards, with one forward for both roles, and random weights in a Qwen2 shape, whose
vocabulary is three times as wide.
"""

from __future__ import annotations

import itertools
import statistics

import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench, cpu_seconds
from qstar_core.engine.attention import FOLDED
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.pair import pair_runner
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer
from qstar_core.records import PromptPair

_CONTEXT = 128
_STEPS = 20
_WARM = 3
_QWEN_VOCAB = 151_936
_QWEN = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
         "num_key_value_heads": 2}


def main() -> None:
    bench = Bench()
    smol = max(bench.tokenizer.vocabulary.values()) + 1
    figures = []
    for slots in (8, 32):
        two, alone = _share(bench.model, bench.pairs, slots, smol, False)
        one, _ = _share(bench.model, bench.pairs, slots, smol, True)
        figures += [Figure(f"engine-mix-share-49k-B{slots}", two, "of the step, two forwards", 0.06),
                    Figure(f"engine-mix-share-49k-one-forward-B{slots}", one, "of the step, one forward"),
                    Figure(f"engine-mix-milliseconds-49k-B{slots}", 1e3 * alone, "ms of CPU")]
    wide = _qwen()
    for slots in (8, 32):
        share, alone = _share(wide, bench.pairs, slots, _QWEN_VOCAB, False)
        figures += [Figure(f"engine-mix-share-152k-B{slots}", share, "of the step, two forwards", 0.10),
                    Figure(f"engine-mix-milliseconds-152k-B{slots}", 1e3 * alone, "ms of CPU")]
    record("engine-mix-share", figures, "make bench NAME=engine-mix-share",
           f"CPU seconds, one thread, bfloat16 models; median of {_STEPS} steps, forward and mix in turn. 49k: "
           f"SmolLM2-135M as its own teacher. 152k: random weights in the shape of Qwen2-0.5B "
           f"({', '.join(f'{name} {size}' for name, size in _QWEN.items())}).")


def _share(model: LoadedModel, pairs: list[PromptPair], slots: int, vocab: int, shared: bool) -> tuple[float, float]:
    """Median over the steps of mix / (mix + forward), and the mix alone in seconds."""
    state = Slots(model, pairs, slots, vocab, shared)
    mixer = Mixer(AlphaOptions(), passes="auto")
    shares, mixes = [], []
    for step in range(_WARM + _STEPS):
        mix = cpu_seconds(lambda: state.mix(mixer))
        forward = cpu_seconds(state.forward)
        if step >= _WARM:
            mixes.append(mix)
            shares.append(mix / (mix + forward))
    return statistics.median(shares), statistics.median(mixes)


class Slots:
    """A running batch of a model that is its own teacher, every slot occupied."""

    def __init__(self, model: LoadedModel, pairs: list[PromptPair], slots: int, vocab: int, shared: bool) -> None:
        self._runner = pair_runner(model, model, slots, _CONTEXT, vocab, True, shared)
        rows = list(itertools.islice(itertools.cycle(pairs), slots))
        read = [self._runner.prefill(slot, pair) for slot, pair in enumerate(rows)]
        self._theta, self._t = (torch.stack(side) for side in zip(*read, strict=True))
        self._length_theta = torch.tensor([len(pair.student_ids) for pair in rows])
        self._length_t = torch.tensor([len(pair.teacher_ids) for pair in rows])
        self._key, self._drawn = torch.arange(len(rows)) * 7919, torch.zeros(len(rows), dtype=torch.long)
        self._occupied = torch.ones(len(rows), dtype=torch.bool)
        self._token: Tensor = self._drawn

    def mix(self, mixer: Mixer) -> None:
        step = mixer.step(self._theta, self._t, self._key, self._drawn)
        assert step.diagnostics is not None
        step.diagnostics.stacked().cpu().numpy()
        self._token = step.token_B

    def forward(self) -> None:
        self._theta, self._t = self._runner.decode(self._token, self._length_theta, self._length_t, self._occupied)
        for count in (self._drawn, self._length_theta, self._length_t):
            count += 1


def _qwen() -> LoadedModel:
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=_QWEN_VOCAB, tie_word_embeddings=True, initializer_range=0.05, **_QWEN)
    config._attn_implementation = FOLDED
    network = Qwen2ForCausalLM(config).to(torch.bfloat16).eval().requires_grad_(False)
    return LoadedModel("random Qwen2", network, torch.device("cpu"), frozenset({0}))


if __name__ == "__main__":
    main()
