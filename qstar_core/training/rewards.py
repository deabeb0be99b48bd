"""What a completion is worth to the recipes with a reward.

A reward function has a name and is called with prompts (lists of messages), completions and gold answers; it returns
one number a completion, or None where it cannot tell. `VerifierReward` is built in; a reward model comes from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from qstar_core.filters.answer import ERROR, AnswerFilter, AnswerOptions
from qstar_core.filters.base import Candidate
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.records import FinishReason, Message, Prompt, Sample


class RewardFunction(Protocol):
    @property
    def name(self) -> str: ...

    def __call__(self, prompts: Sequence[Sequence[dict[str, Any]]], completions: Sequence[str],
                 answers: Sequence[str]) -> list[float | None]: ...


class VerifierReward:
    """1 where the completion ends in the gold answer, 0 where it ends in another or in none, None where the verifier
    fails: the judgement of the filter `answer`."""

    name = "verifier"

    def __init__(self) -> None:
        self._filter = AnswerFilter(AnswerOptions(), NO_CONTEXT)

    def __call__(self, prompts: Sequence[Sequence[dict[str, Any]]], completions: Sequence[str],
                 answers: Sequence[str]) -> list[float | None]:
        candidates = [_candidate(*row) for row in zip(prompts, completions, answers, strict=True)]
        return [None if reason == ERROR else float(reason is None) for reason in self._filter.judge_many(candidates)]

    def close(self) -> None:
        self._filter.close()


def _candidate(turns: Sequence[dict[str, Any]], completion: str, answer: str) -> Candidate:
    prompt = Prompt.of(tuple(Message.model_validate(turn) for turn in turns), answer=answer)
    return Candidate(prompt, Sample(id="", prompt_id=prompt.id, draw=0, completion=completion, token_ids=(),
                                    finish_reason=FinishReason.STOP, seed=0, max_tokens=0))
