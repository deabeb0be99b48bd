"""Rows of a file that are to be scored: a conversation that ends in a reply, or a prompt and a completion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError, RowError
from qstar_core.records import JsonObject, Message
from qstar_core.reward.model import RewardModel
from qstar_core.sources.adapters.base import asked
from qstar_core.sources.columns import Columns, plain
from qstar_core.sources.conversations import conversation, is_conversation
from qstar_core.sources.rows import read_rows

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Reply:
    row: JsonObject
    prompt: tuple[Message, ...]
    completion: str


def scored_rows(model: RewardModel, path: str) -> Iterator[JsonObject]:
    """The rows with `reward` added, and `reward_probability` where the model is calibrated. DataError for a row that
    has nothing to score."""
    waiting: list[Reply] = []
    for source in read_rows(SourceSettings(path=path)):
        row = source.row
        if row.values is None:
            raise DataError(f"{source.file} row {row.index}: {row.fault}", "mend or remove the row")
        try:
            waiting.append(reply_of(row.values))
        except RowError as fault:
            raise DataError(f"{source.file} row {row.index}: {fault}",
                            "give rows with messages, or with prompt and completion") from None
        if len(waiting) == _AT_ONCE:
            yield from _scored(model, waiting)
            waiting = []
    yield from _scored(model, waiting)


def reply_of(row: JsonObject) -> Reply:
    columns = Columns(row)
    prompt, said = columns.get("prompt"), columns.get("completion")
    if is_conversation(columns.get("messages")):
        messages, reply = conversation(columns.get("messages"), "messages")
    elif is_conversation(prompt):
        whole = [*prompt, *said] if is_conversation(said) else [*prompt, {"role": "assistant", "content": said}]
        messages, reply = conversation(whole, "prompt")
    else:
        messages, reply = asked(columns.needed_text("prompt", "question")), columns.text("completion", "response")
    if not reply:
        raise RowError("there is no reply to score")
    return Reply(row, messages, reply)


def _scored(model: RewardModel, replies: list[Reply]) -> Iterator[JsonObject]:
    scores = model.score([reply.prompt for reply in replies], [reply.completion for reply in replies])
    for reply, score in zip(replies, scores, strict=True):
        known = {} if model.calibration is None else {"reward_probability": model.probability(score)}
        yield {**{name: plain(value) for name, value in reply.row.items()}, "reward": score, **known}
