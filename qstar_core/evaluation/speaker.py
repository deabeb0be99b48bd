"""One model alone, on the prompts that a student reads: what it replies, and how likely it finds a given text.

Replies come from this project's engine with the pipeline's random numbers, so the same checkpoint, problem and settings
give the same reply. A reply that fails (logits that are no numbers, a context that is full) is an error that names the
problem: no measure is made of part of the problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qstar_core.config import AlphaSettings, PromptSettings, SamplingSettings, Settings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.hf import shared_context
from qstar_core.engine.loading import load_alone
from qstar_core.engine.protocol import Job
from qstar_core.engine.tokenizer import ChatTokenizer, shared_columns
from qstar_core.errors import EngineError
from qstar_core.evaluation.likelihood import Likelihood, log_probabilities
from qstar_core.models import present
from qstar_core.prompts import PromptRenderer
from qstar_core.records import FinishReason, ModelRef, Prompt, PromptPair, Sample

GREEDY = 1e-6
OnReply = Callable[[int, int], None]


class Speaker:
    def __init__(self, ref: ModelRef, settings: Settings) -> None:
        ref = present(ref)
        self._settings = settings
        self._model = load_alone(ref, settings.engine)
        self._tokenizer = ChatTokenizer(ref.name, Path(ref.path))
        self._context = shared_context(settings.engine, Path(ref.path), Path(ref.path))
        self._renderer = PromptRenderer(students_alone(settings.prompts), self._tokenizer, self._tokenizer,
                                        self._context)

    def render(self, prompt: Prompt) -> PromptPair:
        """RowError where this model cannot take the prompt."""
        return self._renderer.render(prompt)

    def reply(self, pairs: Sequence[PromptPair], draws: int, temperature: float,
              on_reply: OnReply | None = None) -> list[tuple[Sample, ...]]:
        """`draws` samples of every prompt, in order."""
        engine = self._engine(temperature)
        jobs = [Job(f"{index}/{draw}", pair, draw) for index, pair in enumerate(pairs) for draw in range(draws)]
        found: dict[str, Sample] = {}
        for finished in engine.generate(jobs):
            sample = finished.sample
            if sample.finish_reason is FinishReason.ERROR:
                raise EngineError(f"no reply to problem {sample.prompt_id}: {sample.error}",
                                  "look at the weights of the checkpoint, or raise engine.context")
            found[sample.id] = sample
            if on_reply is not None:
                on_reply(len(found), len(jobs))
        return [tuple(found[f"{index}/{draw}"] for draw in range(draws)) for index in range(len(pairs))]

    def likelihoods(self, pairs: Sequence[PromptPair], texts: Sequence[str]) -> list[Likelihood]:
        """Of each text as the reply to its prompt; the end of the turn does not count."""
        rows = []
        for pair, text in zip(pairs, texts, strict=True):
            whole = self._tokenizer.encode(pair.student_text + text)
            start = shared_prefix(pair.student_ids, whole)
            rows.append((whole, start))
        columns = shared_columns(self._tokenizer, self._model)
        return log_probabilities(self._model, columns, self._context, rows)

    def _engine(self, temperature: float) -> Headroom:
        evaluation, settings = self._settings.evaluation, self._settings
        sampling = SamplingSettings(temperature=temperature, max_tokens=evaluation.max_tokens, seed=evaluation.seed,
                                    stop=settings.sampling.stop)

        def build(slots: int) -> TransformersEngine:
            return TransformersEngine(self._model, None, self._tokenizer, self._context, AlphaSettings(), sampling,
                                      SupportSettings(), settings.engine.model_copy(update={"batch_size": slots}))

        return Headroom(build, settings.engine.batch_size)


def students_alone(prompts: PromptSettings) -> PromptSettings:
    """The same settings with the student's prompt on both sides."""
    return prompts.model_copy(update={"teacher": prompts.student, "teacher_system": prompts.student_system,
                                      "hints": ()})


def shared_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin with alike: a tokenizer may join the end of one to what follows."""
    count = 0
    for ours, theirs in zip(first, second, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
