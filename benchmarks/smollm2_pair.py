"""SmolLM2-135M as its own teacher, in bfloat16 on one thread: the models that the engine's benchmarks run.

Times are CPU seconds of this process, so that what else the machine does weighs less; figures are ratios of runs that
were taken in turn.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import torch

from qstar_core.config import AlphaSettings, EngineSettings, PromptSettings, SamplingSettings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.hf import LoadedModel, load_model
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.experiments.speculation.stand import Stand
from qstar_core.models import resolve
from qstar_core.prompts import PromptRenderer
from qstar_core.records import PromptPair
from qstar_core.sources.arithmetic import arithmetic

CONTEXT = 128
_PROMPTS = PromptSettings(student="{{ question }}", teacher="{{ question }} (The answer is {{ answer }}.)")


class Bench:
    def __init__(self, share_forward: bool = True) -> None:
        torch.set_num_threads(1)
        ref = resolve("builtin:smollm2", None)
        self._settings = EngineSettings(context=CONTEXT, dtype="bfloat16", device="cpu", threads=1,
                                        share_forward=share_forward)
        self.tokenizer = ChatTokenizer(ref.name, Path(ref.path))
        self.model: LoadedModel = load_model(ref, self._settings)
        renderer = PromptRenderer(_PROMPTS, self.tokenizer, self.tokenizer, CONTEXT)
        self.pairs: list[PromptPair] = [renderer.render(p) for p in itertools.islice(arithmetic(0, 64), 64)]

    def engine(self, slots: int, share_forward: bool) -> TransformersEngine:
        settings = self._settings.model_copy(update={"batch_size": slots, "share_forward": share_forward})
        return TransformersEngine(self.model, self.model, self.tokenizer, CONTEXT, AlphaSettings(), SamplingSettings(),
                              SupportSettings(), settings)

    def stand(self, teacher: LoadedModel, count: int) -> Stand:
        """The model as the student of another, in mid-sample."""
        vocab = max(self.tokenizer.vocabulary.values()) + 1
        return Stand(self.model, teacher, self.tokenizer, self.pairs[:count], CONTEXT, vocab)


def cpu_seconds(work: Callable[[], object]) -> float:
    since = time.process_time()
    work()
    return time.process_time() - since
