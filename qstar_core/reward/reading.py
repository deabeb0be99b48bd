"""Preference pairs from where they are: exports, files, hub datasets, `builtin:corruptions`.

A row has `chosen` and `rejected`: replies to a `prompt` that is a text or a conversation (UltraFeedback, TRL and this
project's own exports), whole conversations that begin alike, or two transcripts (HH-RLHF). Or it has rated
`completions` of an `instruction` (UltraFeedback as it was collected): the best and the worst rated make the pair.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError, RowError
from qstar_core.recipes import RewardSettings
from qstar_core.records import Message, Role
from qstar_core.reward.corruptions import SEEN, UNSEEN, Fault, corrupted_pairs
from qstar_core.reward.pairs import PairSet, PreferencePair, usable
from qstar_core.sources.adapters.base import asked
from qstar_core.sources.adapters.table import columns_of
from qstar_core.sources.columns import Columns
from qstar_core.sources.conversations import conversation, is_conversation, marked_pair
from qstar_core.sources.rows import read_rows

BUILTIN = "builtin:corruptions"
BUILTIN_UNSEEN = "builtin:corruptions-unseen"
BUILTIN_SIZE = 8000


def read_pairs(settings: RewardSettings, path: str | None = None) -> PairSet:
    """Those of `reward.pairs`, or of another path."""
    where = path or settings.pairs
    if where.startswith("builtin:"):
        return usable(_builtin(where, settings.limit or BUILTIN_SIZE, settings.seed), where)
    source = SourceSettings(path=where, subset=settings.subset, split=settings.split, revision=settings.pairs_revision,
                            columns=settings.columns)
    dropped: Counter[str] = Counter()
    return usable(itertools.islice(_read(source, dropped), settings.limit), where, dropped)


def _builtin(where: str, count: int, seed: int) -> Iterator[PreferencePair]:
    faults: dict[str, tuple[Fault, ...]] = {BUILTIN: SEEN, BUILTIN_UNSEEN: UNSEEN}
    if where not in faults:
        raise DataError(f"{where} is unknown", f"use {' or '.join(faults)}")
    # Another stream of problems: what is judged by faults that were not trained on has other prompts, too.
    return corrupted_pairs(seed if where == BUILTIN else seed + 1_000_003, count, faults[where])


def _read(source: SourceSettings, dropped: Counter[str]) -> Iterator[PreferencePair]:
    for row in read_rows(source):
        values = row.row.values
        if values is None:
            dropped[row.row.fault] += 1
            continue
        try:
            yield pair_of(columns_of(values, source))
        except RowError as fault:
            dropped[str(fault)] += 1


def pair_of(columns: Columns) -> PreferencePair:
    """RowError for a row that has no pair."""
    if "completions" in columns and "chosen" not in columns:
        return _rated(columns)
    chosen, rejected = columns.get("chosen"), columns.get("rejected")
    margin = _margin(columns)
    if is_conversation(chosen) and is_conversation(rejected) and chosen and rejected:
        prompt, high, low = _conversations(columns, list(chosen), list(rejected))
    elif not isinstance(chosen, str) or not isinstance(rejected, str):
        raise RowError("the chosen or the rejected reply is missing")
    elif is_conversation(columns.get("prompt")):
        prompt, high, low = conversation(columns.get("prompt"), "prompt")[0], chosen, rejected
    elif (text := columns.text("prompt", "question", "instruction", "input")) is not None:
        prompt, high, low = asked(text, columns.text("system", "system_prompt")), chosen.strip(), rejected.strip()
    else:
        prompt, found = marked_pair(chosen, rejected)
        high, low = found or "", marked_pair(rejected, chosen)[1] or ""
    return PreferencePair(prompt=prompt, chosen=high, rejected=low, margin=margin, kind=columns.text("kind") or "")


def _conversations(columns: Columns, chosen: list[Any], rejected: list[Any],
                   ) -> tuple[tuple[Message, ...], str, str]:
    """Replies to a prompt of their own column, or two conversations that differ only in what follows the question."""
    opening = columns.get("prompt")
    if is_conversation(opening) and opening and _begins_with_reply(chosen) and _begins_with_reply(rejected):
        chosen, rejected = [*opening, *chosen], [*opening, *rejected]
    elif _begins_with_reply(chosen) and (text := columns.text("prompt", "question", "instruction")) is not None:
        turn = {"role": Role.USER.value, "content": text}
        chosen, rejected = [turn, *chosen], [turn, *rejected]
    (prompt, high), (other, low) = conversation(chosen, "chosen"), conversation(rejected, "rejected")
    if prompt != other:
        raise RowError("chosen and rejected answer different questions")
    return prompt, high or "", low or ""


def _begins_with_reply(turns: list[Any]) -> bool:
    return turns[0].get("role", turns[0].get("from")) in ("assistant", "gpt")


def _rated(columns: Columns) -> PreferencePair:
    text = columns.needed_text("instruction", "prompt", "question")
    rated = sorted(((score, reply) for item in columns.items("completions") if isinstance(item, dict)
                    if (score := Columns(item).text("overall_score", "score", "rating")) is not None
                    and (reply := Columns(item).text("response", "completion", "text")) is not None),
                   key=lambda one: _number(one[0]))
    if len(rated) < 2 or _number(rated[0][0]) == _number(rated[-1][0]):
        raise RowError("no two completions are rated differently")
    return PreferencePair(prompt=asked(text), chosen=rated[-1][1], rejected=rated[0][1],
                          margin=_number(rated[-1][0]) - _number(rated[0][0]))


def _margin(columns: Columns) -> float | None:
    """What the row says, or the difference of the two scores that it has."""
    if (told := columns.text("margin")) is not None:
        return _number(told)
    high, low = columns.text("score_chosen"), columns.text("score_rejected")
    return None if high is None or low is None else _number(high) - _number(low)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RowError("a score or margin is no number") from None
