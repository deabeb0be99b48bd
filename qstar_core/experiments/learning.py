"""What an arm's student learns from in a round: rows for its recipe, and texts that have the same gradient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from qstar_core.config import AlphaSettings, Settings
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import DataError
from qstar_core.evaluation.speaker import students_alone
from qstar_core.experiments.cells import CellSettings
from qstar_core.experiments.gradient import ROWS
from qstar_core.experiments.grid import Data
from qstar_core.experiments.mixing import Mixed
from qstar_core.experiments.rows import (
    Text,
    Turns,
    completion_rows,
    completions,
    pair_rows,
    preferences,
    question_rows,
)
from qstar_core.experiments.sampling import Sampler, gather
from qstar_core.recipes import Grpo, Rewarded
from qstar_core.records import JsonObject, Prompt
from qstar_core.training.rewards import VerifierReward

T = TypeVar("T")
_STUDENT, _TEACHER = (AlphaSettings(method="fixed", fixed=float(end)) for end in (0, 1))


@dataclass(frozen=True, slots=True)
class Lesson:
    """`texts` with their weights have the gradient of the recipe's loss at the student as it is; `by_tokens` as there.
    `drawn`, `kept` and `tokens` are 0 for a recipe that draws by itself: they are known when it is done."""

    rows: list[JsonObject]
    texts: list[Text]
    by_tokens: bool = True
    drawn: int = 0
    kept: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Teaching:
    """Gives a cell's lessons. `mixed` and `dropped` add up over the rounds."""

    how: CellSettings
    turns: Turns
    tokenizer: ChatTokenizer
    mixed: Mixed
    dropped: Counter[str] = field(default_factory=Counter)

    def lesson(self, settings: Settings, prompts: Sequence[Prompt]) -> Lesson:
        """`settings` name the student of the round."""
        match self.how.data:
            case Data.GOLD:
                return self._gold(prompts)
            case Data.REWARD:
                return Lesson(question_rows(prompts, self.turns), *self._advantages(settings, prompts))
            case Data.PAIRS:
                return self._pairs(settings, prompts)
        found = gather(self._samplers(settings), prompts, self.how.sizes.draws, self.how.sizes.tokens, self.mixed,
                       self.dropped)
        texts = completions(found.kept, self.turns, self.how.spoiled)
        return Lesson(completion_rows(texts), texts, True, found.drawn, len(found.kept), found.tokens)

    def _gold(self, prompts: Sequence[Prompt]) -> Lesson:
        offered = [Text(self.turns[prompt.id], prompt.solution) for prompt in prompts if prompt.solution]
        if not offered:
            raise DataError("the data is gold, and no prompt has a worked solution",
                            "name its column at source.solution_field, or leave the arm out")
        texts, tokens = self._within(offered, lambda text: text)
        return Lesson(completion_rows(texts), texts, True, 0, len(texts), tokens)

    def _pairs(self, settings: Settings, prompts: Sequence[Prompt]) -> Lesson:
        """All draws are drawn: a pair needs a right and a wrong one of a prompt."""
        draws = self.how.sizes.draws
        found = gather(self._samplers(settings), prompts, draws, None, self.mixed, self.dropped)
        wrong, drawn = found.wrong, found.drawn
        if not self.how.alone:
            own = gather([_alone(settings)], prompts, draws, None, Mixed(settings.gate.alpha_limits), Counter())
            wrong, drawn = own.wrong, drawn + own.drawn
        pairs, tokens = self._within(preferences(found.kept, wrong, self.turns, self.how.seed), lambda pair: pair[0])
        texts = [text for pair in pairs for text in pair]
        return Lesson(pair_rows(pairs), texts, False, drawn, len(pairs), tokens)

    def _within(self, offered: Sequence[T], learnt: Callable[[T], Text]) -> tuple[list[T], int]:
        """The first ones, up to the one that reaches the budget, and their tokens."""
        taken, tokens, most = [], 0, self.how.sizes.tokens
        for one in offered:
            if most is None or tokens < most:
                taken.append(one)
                tokens += len(self.tokenizer.encode(learnt(one).completion)) + 1  # the end of the turn
        return taken, tokens

    def _advantages(self, settings: Settings, prompts: Sequence[Prompt]) -> tuple[list[Text], bool]:
        """Samples of the student with the advantages that the recipe gives them."""
        recipe = settings.training
        assert isinstance(recipe, Rewarded)
        groups = prompts[: max(1, self.how.sizes.gradient_batches * ROWS // recipe.generations)]
        sampler = _alone(settings)
        draws = [sampler.draw(groups, draw) for draw in range(recipe.generations)]
        reward, texts = VerifierReward(), []
        for prompt, *said in zip(groups, *draws, strict=True):
            asked = [message.model_dump(mode="json") for message in self.turns[prompt.id]]
            found = reward([asked] * len(said), [one.completion for one in said], [prompt.answer or ""] * len(said))
            scores = [0.0 if one is None else one for one in found]
            texts += [Text(self.turns[prompt.id], one.completion, advantage) for one, advantage in zip(
                said, _advantage(scores, isinstance(recipe, Grpo)), strict=True)]
        reward.close()
        return texts, isinstance(recipe, Grpo)

    def _samplers(self, settings: Settings) -> list[Sampler]:
        if self.how.data is Data.HALVES:
            return [_alone(settings), Sampler(settings.model_copy(update={"alpha": _TEACHER}), traces=False)]
        if self.how.proposer == "teacher":
            student = settings.student.model_copy(update={"model": settings.teacher.model,
                                                          "revision": settings.teacher.revision, "base": None})
            return [Sampler(settings.model_copy(update={"student": student}), traces=True)]
        return [_alone(settings) if self.how.alone else Sampler(settings, traces=True)]


def _alone(settings: Settings) -> Sampler:
    """The student with the same weights in the teacher's place, which are read once."""
    teacher = settings.teacher.model_copy(update={"model": settings.student.model, "revision": None})
    return Sampler(settings.model_copy(update={
        "teacher": teacher, "alpha": _STUDENT, "prompts": students_alone(settings.prompts)}), traces=False)


def _advantage(scores: Sequence[float], grouped: bool) -> list[float]:
    """GRPO: by the group's mean and deviation. RLOO: by the mean of the others."""
    count = len(scores)
    mean = sum(scores) / count
    if not grouped:
        return [(score - mean) * count / (count - 1) for score in scores]
    deviation = (sum((score - mean) ** 2 for score in scores) / (count - 1)) ** 0.5
    return [(score - mean) / (deviation + 1e-4) for score in scores]

