"""Candidates for the filters, from what matters to them, and a context whose models are a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qstar_core.filters.base import Candidate
from qstar_core.filters.context import EarlierRow, FilterContext
from qstar_core.records import FinishReason, Floats, Message, MixSummary, Prompt, Role, Sample

EARLIER = ("the earlier version said that the sum of seven and eight is fifteen because seven plus seven is fourteen "
           "and one more is fifteen")


def candidate(completion: str = "answer 8", gold: str | None = "8", *, finish: FinishReason = FinishReason.STOP,
              tokens: int | None = None, question: str = "q", kind: str = "text", meta: dict[str, Any] | None = None,
              **changes: Any) -> Candidate:
    """`tokens` counts the end mark where the sample has one."""
    prompt = Prompt.of((Message(role=Role.USER, content=question),), answer=gold, kind=kind, meta=meta)
    length = tokens if tokens is not None else len(completion.split()) + (finish is FinishReason.STOP)
    values: dict[str, Any] = {
        "id": "s", "prompt_id": prompt.id, "draw": 0, "completion": completion, "token_ids": (1,) * length,
        "finish_reason": finish, "seed": 0, "max_tokens": 64,
    }
    return Candidate(prompt, Sample(**(values | changes)))


def failed(error: str | None = "the logits are NaN") -> Candidate:
    return candidate("", finish=FinishReason.ERROR, tokens=0, error=error)


def summary(alpha: float = 0.5, log_z: float = -1.0, tokens: int = 10) -> MixSummary:
    numbers: dict[str, Any] = {
        name: 0 if field.annotation is int else 0.1 for name, field in MixSummary.model_fields.items()}
    return MixSummary(**{**numbers, "tokens": tokens, "alpha_mean": alpha, "log_z_sum": log_z, "kl_t_mean": None})


class Lengths:
    """An embedder by the counts of letters, and a scorer by the number of characters."""

    def encode(self, texts: Sequence[str]) -> Floats:
        counts = np.array([[1e-3, *(text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz0123456789")]
                           for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def score(self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]) -> list[float]:
        return [float(len(completion)) for completion in completions]

    def probability(self, raw: float) -> float:
        return min(raw / 20, 1.0)


def exam(name: str) -> Iterator[str]:
    if name == "exam":
        yield "One, two, three, four, five, six, seven, eight."
        yield "How many legs has it?"
        yield "too short"


CONTEXT = FilterContext(texts=exam, earlier=lambda: iter([EarlierRow("old", EARLIER)]),
                        embedder=lambda _: Lengths(), scorer=lambda _: Lengths())
