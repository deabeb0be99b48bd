"""A preference (a prompt, a reply that is preferred, and one that is not), which of them can be learnt from, and a
split in which no prompt is on both sides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import ConfigDict, Field

from qstar_core.errors import DataError
from qstar_core.records import Message, Prompt, Record
from qstar_core.sources.splitting import is_validation

SAME, EMPTY, NO_NUMBER, TWICE = (
    "chosen and rejected say the same", "the chosen or the rejected reply is empty", "the margin is no number",
    "the same pair came before")


class PreferencePair(Record):
    """`margin` is by how much the chosen reply is known to be better, where that is known; `kind` what is wrong with
    the rejected one, where somebody spoilt it."""

    model_config = ConfigDict(allow_inf_nan=True)  # so that `usable` can say why it drops such a row

    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: str
    rejected: str
    margin: float | None = None
    kind: str = ""

    @cached_property
    def question(self) -> Prompt:
        return Prompt.of(self.prompt)

    @property
    def prompt_id(self) -> str:
        return self.question.id


@dataclass(frozen=True, slots=True)
class PairSet:
    """`dropped` counts by reason what could not be used."""

    pairs: tuple[PreferencePair, ...]
    dropped: dict[str, int]


def usable(pairs: Iterable[PreferencePair], name: str, dropped: Counter[str] | None = None) -> PairSet:
    """The pairs that say something. DataError where none does, which is what a set of one class comes to. `dropped` may
    be filled by the reader of the rows, while they come."""
    counts: Counter[str] = Counter() if dropped is None else dropped
    kept: dict[tuple[str, str, str], PreferencePair] = {}
    for pair in pairs:
        key = (pair.prompt_id, pair.chosen, pair.rejected)
        reason = TWICE if key in kept else _fault(pair)
        if reason is None:
            kept[key] = pair
        else:
            counts[reason] += 1
    if not kept:
        told = ", ".join(f"{count} {reason}" for reason, count in counts.most_common(3)) or "it is empty"
        raise DataError(f"{name} has no pair to learn from: {told}",
                        "give rows with a chosen and a rejected reply that differ")
    return PairSet(tuple(kept.values()), dict(counts))


def _fault(pair: PreferencePair) -> str | None:
    if not pair.chosen.strip() or not pair.rejected.strip():
        return EMPTY
    if pair.chosen.split() == pair.rejected.split():
        return SAME
    if pair.margin is not None and not math.isfinite(pair.margin):
        return NO_NUMBER
    return None


@dataclass(frozen=True, slots=True)
class Split:
    train: tuple[PreferencePair, ...]
    held_out: tuple[PreferencePair, ...]


def split_by_prompt(pairs: Sequence[PreferencePair], share: float) -> Split:
    """About `share` of the prompts is held out, with all of their pairs: the same prompts as `source.validation`."""
    held = [is_validation(pair.question, share) for pair in pairs]
    split = Split(tuple(pair for pair, out in zip(pairs, held, strict=True) if not out),
                  tuple(pair for pair, out in zip(pairs, held, strict=True) if out))
    if not split.train or (share and not split.held_out):
        raise DataError(f"a share of {share:g} of the prompts leaves {len(split.train)} pairs to learn from and "
                        f"{len(split.held_out)} to judge by", "give more pairs, or change reward.validation")
    return split
