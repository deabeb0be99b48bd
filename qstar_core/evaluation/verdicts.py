"""Whether replies are right, told by a filter that verifies: `answer` unless the settings name another.

What could not be judged is neither right nor wrong. Verification applies to no problem without a gold answer, and
`answer` does not apply to programs, which it lets pass unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from enum import Enum

from qstar_core.config import FilterStep
from qstar_core.filters.answer import ERROR
from qstar_core.filters.base import Candidate, Finding
from qstar_core.filters.chain import configured
from qstar_core.filters.code import CodeFilter
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.records import Prompt, Sample


class Correctness(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


def judge_replies(verifier: FilterStep, prompts: Sequence[Prompt],
                  replies: Sequence[Sequence[Sample]]) -> list[list[Correctness]]:
    """One list a problem, in order."""
    (step,) = configured([verifier], NO_CONTEXT)
    with closing(step.filter) as judge:
        asked = [(index, Candidate(prompt, sample)) for index, prompt in enumerate(prompts)
                 if _applies(verifier, prompt) for sample in replies[index]]
        judged = judge.judge_many([candidate for _, candidate in asked])
    found: list[list[Correctness]] = [[] if _applies(verifier, prompt) else [Correctness.UNJUDGED] * len(replies[index])
                                      for index, prompt in enumerate(prompts)]
    for (index, _), judgement in zip(asked, judged, strict=True):
        reason = judgement.reason if isinstance(judgement, Finding) else judgement
        found[index].append(Correctness.RIGHT if reason is None else
                            Correctness.UNJUDGED if reason.endswith("error") else Correctness.WRONG)
    return found


def _applies(verifier: FilterStep, prompt: Prompt) -> bool:
    return prompt.answer is not None and (prompt.kind == "code") == (verifier.name == CodeFilter.name)
