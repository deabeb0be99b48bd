"""One cell: a student brought up by one arm, round by round, measured before the first round and after each.

Everything is done by the parts that do it for users: the engine samples, the filters judge, `train` trains, `evaluate`
measures. On CPU, with one thread, the same cell gives the same numbers bit for bit, its seconds aside.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from qstar_core.checkpoints import checkpoint_key
from qstar_core.config import SetRole, Settings
from qstar_core.evaluation.divergence import divergence
from qstar_core.evaluation.evaluate import evaluate
from qstar_core.evaluation.suite import Suite, problems
from qstar_core.experiments.cells import Asked, CellSettings
from qstar_core.experiments.gradient import gradient_variance
from qstar_core.experiments.grid import Data
from qstar_core.experiments.learning import Lesson, Teaching
from qstar_core.experiments.mixing import Mixed
from qstar_core.experiments.problems import held_out, training_prompts
from qstar_core.experiments.records import CellResult, Point
from qstar_core.experiments.rows import write_rows
from qstar_core.experiments.work import Tell, Work
from qstar_core.home import subfolder
from qstar_core.models import resolve
from qstar_core.recipes import Training
from qstar_core.records import ModelRef, Prompt, content_hash
from qstar_core.stages.planning import renderer_for
from qstar_core.store.directory import DirectoryStore
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train
from qstar_core.training.watching import Progress


def run_cell(work: Work, tell: Tell) -> CellResult:
    asked = Asked.model_validate(work.asked)
    wall, cpu = time.monotonic(), time.process_time()
    folder = subfolder("cells") / work.key
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    try:
        cell = _Cell.begun(asked.how, folder, tell)
        points = cell.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    teaching = cell.teaching
    return CellResult(
        key=work.key, cell=asked.cell, points=points,
        mixing=teaching.mixed.record(teaching.dropped), wall_seconds=time.monotonic() - wall,
        cpu_seconds=time.process_time() - cpu, code_version=version("qstar"),
        created=datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(slots=True)
class _Cell:
    how: CellSettings
    folder: Path
    tell: Tell
    first: ModelRef
    student: ModelRef
    suite: Suite
    prompts: list[Prompt]
    teaching: Teaching

    @classmethod
    def begun(cls, how: CellSettings, folder: Path, tell: Tell) -> _Cell:
        settings = how.settings
        first = resolve(settings.student.model, settings.student.revision, base=settings.student.base)
        teacher = resolve(settings.teacher.model, settings.teacher.revision) if how.taught else first
        renderer, tokenizer, _ = renderer_for(settings, {"student": first, "teacher": teacher})
        suite = held_out(settings, _scores())
        rendered = training_prompts(how, suite, renderer)
        turns = {prompt.id: pair.student_messages for prompt, pair in rendered}
        return cls(how, folder, tell, first, first, suite, [prompt for prompt, _ in rendered],
                   Teaching(how, turns, tokenizer, Mixed(settings.gate.alpha_limits)))

    def run(self) -> tuple[Point, ...]:
        points = [self._measured(Point(
            round=0, drawn=0, kept=0, tokens=0, right=(), measures={}, kl_initial=0.0, gradient_variance=None,
            sampling_seconds=0.0, training_seconds=0.0))]
        for number in range(1, self.how.sizes.rounds + 1):
            points.append(self._round(number, points[-1]))
        return tuple(points)

    def _round(self, number: int, before: Point) -> Point:
        sizes, settings = self.how.sizes, self._settings(number)
        self._say("sampling", number)
        since = time.monotonic()
        lesson = self.teaching.lesson(settings, self.prompts[(number - 1) * sizes.prompts : number * sizes.prompts])
        sampled = time.monotonic()
        variance = gradient_variance(settings, self.student, lesson.texts, sizes.gradient_batches, lesson.by_tokens)
        self._say("training", number)
        begun = time.monotonic()
        drawn, tokens = self._trained(settings, lesson, number) if lesson.rows else (0, 0)
        ended = time.monotonic()
        self._say("evaluating", number)
        return self._measured(Point(
            round=number, drawn=before.drawn + lesson.drawn + drawn, kept=before.kept + lesson.kept + drawn,
            tokens=before.tokens + lesson.tokens + tokens, right=(), measures={}, kl_initial=self._divergence(settings),
            gradient_variance=variance, training_seconds=ended - begun,
            # what RL samples here is for the gradient's variance alone
            sampling_seconds=0.0 if self.how.data is Data.REWARD else sampled - since))

    def _trained(self, settings: Settings, lesson: Lesson, number: int) -> tuple[int, int]:
        """The student of the next round; and how many samples and tokens the recipe itself drew."""
        store, recipe, counted = DirectoryStore(self.folder / "store"), settings.training, _Counted()
        assert recipe is not None
        rows = write_rows(lesson.rows, self.folder / f"rows-{number}")
        made = train(TrainRequest(settings=settings, data=str(rows)), store, counted)
        path = self.folder / "store" / checkpoint_key(made.line, made.id)
        self.student = resolve(str(path), None)
        return counted.drawn(recipe)

    def _settings(self, number: int) -> Settings:
        """Those of a round: its student, and its random numbers."""
        how, settings = self.how, self.how.settings
        seed = int(content_hash([how.seed, how.salt, number])[:7], 16)
        assert settings.training is not None
        alpha = how.alpha_by_round[min(number, len(how.alpha_by_round)) - 1] if how.alpha_by_round else settings.alpha
        place = self.student.path if self.student.adapter is None else self.student.adapter.path
        return settings.model_copy(update={
            "alpha": alpha,
            "student": settings.student.model_copy(update={"model": place, "revision": None}),
            "sampling": settings.sampling.model_copy(update={"seed": seed}),
            "training": settings.training.model_copy(update={"seed": seed})})

    def _divergence(self, settings: Settings) -> float | None:
        found = divergence(settings, self.first, self.student, problems(self.suite, self.how.sizes.kl_prompts))
        return None if found is None else found.value

    def _measured(self, point: Point) -> Point:
        score = evaluate(self.how.settings, _scores(), self.student, self.suite)
        target = next(one for one in score.sets if one.role is SetRole.TARGET)
        right = tuple(value == 1.0 for value, _ in target.outcomes["accuracy"])
        return point.model_copy(update={
            "right": right, "measures": {measure.name: measure.value for measure in score.measures}})

    def _say(self, what: str, number: int) -> None:
        self.tell(what, number - 1, self.how.sizes.rounds)


class _Counted:
    """What a recipe that draws by itself says it drew."""

    def __init__(self) -> None:
        self._steps = 0
        self._lengths: list[float] = []

    def __call__(self, progress: Progress) -> None:
        self._steps = max(self._steps, progress.step)
        if "completions/mean_length" in progress.metrics:
            self._lengths.append(progress.metrics["completions/mean_length"])

    def drawn(self, recipe: Training) -> tuple[int, int]:
        if not self._lengths:
            return 0, 0
        return self._steps * recipe.batch_size, round(sum(self._lengths) * recipe.batch_size)


def _scores() -> DirectoryStore:
    """The worker's own: the first student of many cells is asked once."""
    return DirectoryStore(subfolder("scores"))
