"""KL(new‖old) per token: how far the new student went from the old one, on what the new one says.

The new student is sampled at temperature 1 and both score every position, so each position has its whole KL rather
than one draw of it. The engine does this: it is q* at α = 0 with the old student in the teacher's place.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.config import AlphaSettings, SamplingSettings, Settings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import DataError, EngineError, RowError
from qstar_core.evaluation.intervals import identity, measured
from qstar_core.evaluation.score import Measure, Part
from qstar_core.evaluation.speaker import students_alone
from qstar_core.models import present
from qstar_core.records import ModelRef, Prompt
from qstar_core.stages.planning import renderer_for

KL = "KL(new‖old) per token"


def divergence(settings: Settings, old: ModelRef, new: ModelRef, prompts: Sequence[Prompt]) -> Measure | None:
    """None where it is infinite: the old student gives probability 0 to something that the new one says."""
    evaluation = settings.evaluation
    asked = settings.model_copy(update={
        "prompts": students_alone(settings.prompts), "alpha": AlphaSettings(method="fixed", fixed=0.0),
        "sampling": SamplingSettings(max_tokens=evaluation.max_tokens, seed=evaluation.seed,
                                     stop=settings.sampling.stop),
        "support": SupportSettings(),
        "engine": settings.engine.model_copy(update={"diagnostics": True, "speculation": "off"})})
    models = {"student": present(new), "teacher": present(old)}
    renderer, tokenizer, context = renderer_for(asked, models)
    jobs: list[Job] = []
    for prompt in prompts:
        try:
            jobs.append(Job(str(len(jobs)), renderer.render(prompt), 0))
        except RowError:
            continue
    if len(jobs) < 2:
        raise DataError(f"KL(new‖old) cannot be estimated on {len(jobs)} problems", "raise promotion.kl_prompts")
    parts: list[Part] = []
    for finished in pair_engine(asked, models, tokenizer, context).generate(jobs):
        sample = finished.sample
        if sample.summary is None:
            raise EngineError(f"no reply to problem {sample.prompt_id}: {sample.error}", "look at both checkpoints")
        if sample.summary.kl_t_mean is None:
            return None
        parts.append((sample.summary.kl_t_mean * sample.summary.tokens, float(sample.summary.tokens)))
    return measured(KL, tuple(parts), identity, evaluation.confidence)


def pair_engine(settings: Settings, models: dict[str, ModelRef], tokenizer: ChatTokenizer, context: int) -> Headroom:
    """Of its own, so that neither model stays loaded afterwards."""
    student, teacher = load_pair(models["student"], models["teacher"], settings.engine)

    def build(slots: int) -> TransformersEngine:
        return TransformersEngine(student, teacher, tokenizer, context, settings.alpha, settings.sampling,
                                  settings.support, settings.engine.model_copy(update={"batch_size": slots}))

    return Headroom(build, settings.engine.batch_size)
