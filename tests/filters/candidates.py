"""Candidates for the filters, from what matters to them."""

from __future__ import annotations

from typing import Any

from qstar_core.filters.base import Candidate
from qstar_core.records import FinishReason, Message, Prompt, Role, Sample


def candidate(completion: str = "answer 8", gold: str | None = "8", *, finish: FinishReason = FinishReason.STOP,
              tokens: int | None = None, question: str = "q", **changes: Any) -> Candidate:
    """`tokens` counts the end mark where the sample has one."""
    prompt = Prompt.of((Message(role=Role.USER, content=question),), answer=gold)
    length = tokens if tokens is not None else len(completion.split()) + (finish is FinishReason.STOP)
    values: dict[str, Any] = {
        "id": "s", "prompt_id": prompt.id, "draw": 0, "completion": completion, "token_ids": (1,) * length,
        "finish_reason": finish, "seed": 0, "max_tokens": 64,
    }
    return Candidate(prompt, Sample(**(values | changes)))


def failed(error: str | None = "the logits are NaN") -> Candidate:
    return candidate("", finish=FinishReason.ERROR, tokens=0, error=error)
