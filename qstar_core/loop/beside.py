"""The first and the last student on the problems that never decide: is the gain more than chance, and one problem
solved by both, with the teacher's reply between them.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.config import AlphaSettings, SetRole, Settings, SupportSettings
from qstar_core.engine.protocol import Job
from qstar_core.evaluation.divergence import pair_engine
from qstar_core.evaluation.evaluate import evaluate
from qstar_core.evaluation.measures.registry import measurement_of
from qstar_core.evaluation.paired import Difference, Test, better, difference, paired
from qstar_core.evaluation.score import Score
from qstar_core.evaluation.speaker import GREEDY
from qstar_core.evaluation.suite import Suite, final_suite
from qstar_core.loop.records import Begun
from qstar_core.loop.students import current, model_of
from qstar_core.models import resolve
from qstar_core.records import ModelRef, Prompt
from qstar_core.stages.planning import renderer_for
from qstar_core.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Solved:
    """One held-out problem, and what three models said to it."""

    question: str
    gold: str
    before: str
    teacher: str
    after: str


@dataclass(frozen=True, slots=True)
class Beside:
    """`changes` are new − old on each set, at the level of promotions."""

    target: str
    before: Score
    after: Score
    test: Test
    changes: dict[str, Difference]
    solved: Solved


def beside(settings: Settings, store: ObjectStore, begun: Begun) -> Beside | None:
    """None where the line's student is still the one that the loop began with."""
    first, (last, _) = model_of(settings, store, begun.first), current(settings, store)
    if first.sha256 == last.sha256:
        return None
    suite = final_suite(settings, store)
    before, after = evaluate(settings, store, first, suite), evaluate(settings, store, last, suite)
    figure = settings.promotion.measure
    measurement = measurement_of(figure)
    level = 1 - 2 * settings.promotion.level
    pairs = {one.name: paired(before.set_of(one.name), one, figure) for one in after.sets if figure in one.outcomes}
    target = suite.set_of(SetRole.TARGET).name
    return Beside(
        target=target, before=before, after=after, test=better(pairs[target], bool(measurement.higher)),
        changes={name: difference(found, measurement.transform, level) for name, found in pairs.items()},
        solved=_solved(settings, suite, first, before, after))


def _solved(settings: Settings, suite: Suite, student: ModelRef, before: Score, after: Score) -> Solved:
    """The first problem of the target that only the last student solves; else the first of all."""
    target = suite.set_of(SetRole.TARGET)
    old, new = before.set_of(target.name), after.set_of(target.name)
    figure = settings.promotion.measure
    higher = bool(measurement_of(figure).higher)
    won = [i for i, (a, b) in enumerate(zip(old.outcomes[figure], new.outcomes[figure], strict=True))
           if a != b and (b > a) is higher]
    place = won[0] if won else 0
    prompt = next(prompt for prompt in target.prompts if prompt.id == new.prompts[place])
    return Solved(question=prompt.question, gold=prompt.answer or "", before=old.replies[place],
                  teacher=_taught(settings, student, prompt), after=new.replies[place])


def _taught(settings: Settings, student: ModelRef, prompt: Prompt) -> str:
    """The likeliest reply of the teacher, with its hint: q* at α = 1."""
    asked = settings.model_copy(update={
        "alpha": AlphaSettings(method="fixed", fixed=1.0), "support": SupportSettings(),
        "sampling": settings.sampling.model_copy(update={"temperature": GREEDY, "sharpen": 1.0}),
        "engine": settings.engine.model_copy(update={"speculation": "off"})})
    models = {"student": student, "teacher": resolve(settings.teacher.model, settings.teacher.revision)}
    renderer, tokenizer, context = renderer_for(asked, models)
    (finished,) = pair_engine(asked, models, tokenizer, context).generate([Job("0", renderer.render(prompt), 0)])
    return finished.sample.completion
