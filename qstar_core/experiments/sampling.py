"""A round's samples, drawn by the project's engine and judged by its filters.

Every prompt gets one sample, then another one as long as too few tokens were kept, up to the arm's draws. Random
numbers belong to seed, prompt and draw, so arms of one seed share them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from qstar_core.api import Drawn, Mixture, generate
from qstar_core.config import Settings
from qstar_core.errors import EngineError
from qstar_core.experiments.mixing import Mixed
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import FilterChain
from qstar_core.records import FinishReason, Outcome, Prompt


@dataclass(frozen=True, slots=True)
class Sampler:
    """Whose samples, of every prompt: the settings with the models of the round in them. `traces`: they are mixed, and
    it is told how."""

    settings: Settings
    traces: bool

    def draw(self, prompts: Sequence[Prompt], draw: int) -> list[Drawn]:
        """One of each, in order. EngineError where one fails: no cell is made of part of its prompts."""
        settings = self.settings
        mixture = Mixture(settings.student, settings.teacher, settings.alpha, prompts=settings.prompts,
                          sampling=settings.sampling, support=settings.support, engine=settings.engine)
        found = sorted(generate(mixture, prompts, 1, first_draw=draw, traces=self.traces),
                       key=lambda drawn: drawn.index)
        for drawn in found:
            if drawn.finish_reason is FinishReason.ERROR:
                raise EngineError(f"no sample of prompt {prompts[drawn.index].id}: {drawn.error}",
                                  "look at the weights of both models, or raise engine.context")
        return found


@dataclass(slots=True)
class Gathered:
    """What a round drew, and what of it was kept or found wrong, in order."""

    drawn: int = 0
    kept: list[Candidate] = field(default_factory=list)
    wrong: list[Candidate] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(len(one.sample.token_ids) for one in self.kept)


def gather(samplers: Sequence[Sampler], prompts: Sequence[Prompt], draws: int, tokens: int | None, mixed: Mixed,
           dropped: Counter[str]) -> Gathered:
    """Prompts are dealt to the samplers in turn. What is kept is cut at `tokens`."""
    settings = samplers[0].settings
    found = Gathered()
    with FilterChain(settings.filters) as chain:
        for draw in range(draws):
            dealt = [sampler.draw(prompts[place :: len(samplers)], draw) for place, sampler in enumerate(samplers)]
            in_order = [dealt[index % len(samplers)][index // len(samplers)] for index in range(len(prompts))]
            _judge(chain, list(zip(prompts, in_order, strict=True)), found, mixed, dropped)
            if tokens is not None and found.tokens >= tokens:
                break
    found.kept = within_tokens(found.kept, tokens)
    mixed.keep(found.kept)
    return found


def within_tokens(kept: list[Candidate], tokens: int | None) -> list[Candidate]:
    """The first ones, up to the one that reaches the number."""
    if tokens is None:
        return kept
    taken, total = 0, 0
    while taken < len(kept) and total < tokens:
        total += len(kept[taken].sample.token_ids)
        taken += 1
    return kept[:taken]


def _judge(chain: FilterChain, drawn: Sequence[tuple[Prompt, Drawn]], found: Gathered, mixed: Mixed,
           dropped: Counter[str]) -> None:
    found.drawn += len(drawn)
    for _, one in drawn:
        if one.trace is not None:
            mixed.add(one.trace)
    candidates = [Candidate(prompt, one.sample) for prompt, one in drawn]
    for candidate, verdict in chain.judged(lambda: candidates, lambda one: one):
        if verdict.outcome is Outcome.KEPT:
            found.kept.append(candidate)
        else:
            dropped[verdict.reason] += 1
            found.wrong.append(candidate)
