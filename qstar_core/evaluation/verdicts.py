"""Whether replies are right, told by a filter that verifies: `answer` unless the settings name another.

What could not be judged is neither right nor wrong. Verification applies to no problem without a gold answer, and
`answer` does not apply to programs, which it lets pass unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from types import TracebackType

from qstar_core.config import FilterStep
from qstar_core.filters.answer import ERROR as VERIFIER_ERROR
from qstar_core.filters.base import Candidate, Finding, Judgement
from qstar_core.filters.chain import configured
from qstar_core.filters.code import CodeFilter
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.records import Prompt, Sample


class Correctness(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


class Verdicts:
    """A context manager: leaving it ends the processes that the filter started."""

    def __init__(self, verifier: FilterStep) -> None:
        self._programs = verifier.name == CodeFilter.name
        (self._step,) = configured([verifier], NO_CONTEXT)

    def of(self, prompts: Sequence[Prompt], replies: Sequence[Sequence[Sample]]) -> list[list[Correctness]]:
        """One list a problem, in order."""
        found: list[list[Correctness]] = [[] for _ in prompts]
        places: list[list[Correctness]] = []
        asked: list[Candidate] = []
        for place, prompt, samples in zip(found, prompts, replies, strict=True):
            if not self._applies(prompt):
                place += [Correctness.UNJUDGED] * len(samples)
                continue
            places += [place] * len(samples)
            asked += [Candidate(prompt, sample) for sample in samples]
        for place, judgement in zip(places, self._step.filter.judge_many(asked), strict=True):
            place.append(_correctness(judgement))
        return found

    def _applies(self, prompt: Prompt) -> bool:
        return prompt.answer is not None and (prompt.kind == "code") == self._programs

    def __enter__(self) -> Verdicts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._step.filter.close()


def _correctness(judgement: Judgement) -> Correctness:
    reason = judgement.reason if isinstance(judgement, Finding) else judgement
    if reason is None:
        return Correctness.RIGHT
    return Correctness.UNJUDGED if reason == VERIFIER_ERROR else Correctness.WRONG
