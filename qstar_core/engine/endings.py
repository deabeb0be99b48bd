"""How samples end, in every engine alike: their text, why they failed, and those that have no room to begin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qstar_core.engine.sequence import Sequence
from qstar_core.engine.strategy import DISJOINT, FAILED_T, FAILED_THETA
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import FinishReason


def with_room(waiting: Iterator[Sequence | None], roomless: list[Sequence]) -> Iterator[Sequence | None]:
    """Set aside the samples whose prompt leaves no room for a single token."""
    for sequence in waiting:
        if sequence is not None and sequence.limit < 1:
            roomless.append(sequence)
        else:
            yield sequence


def no_room(context: int) -> str:
    return f"the prompt fills the context of {context} tokens"


def text_of(sequence: Sequence, reason: FinishReason, tokenizer: ChatTokenizer) -> str:
    ids = sequence.tokens[:-1] if reason is FinishReason.STOP else sequence.tokens
    pair = sequence.job.pair
    return tokenizer.decode_after(pair.student_ids, ids) if pair.reply_prefix else tokenizer.decode(ids)


def failed(told: np.ndarray) -> bool:
    """Whether there is no token to be drawn."""
    return bool(told[FAILED_THETA : DISJOINT + 1].any())


def failure_of(told: np.ndarray, position: int) -> str:
    sides = ((FAILED_THETA, "the student's"), (FAILED_T, "the teacher's"))
    who = " and ".join(name for column, name in sides if told[column])
    if who:
        return f"{who} logits are not a distribution (NaN, +inf or empty) at token {position}"
    return f"student and teacher have no token in common at token {position}"
