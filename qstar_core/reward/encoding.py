"""A pair as ids. What is too long loses the beginning of its prompt, never a part of a reply; where that is not enough,
the pair is dropped and the reason counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from qstar_core.engine.scoring import ConversationTokenizer
from qstar_core.errors import RowError
from qstar_core.reward.pairs import PreferencePair

TOO_LONG = "a reply is longer than reward.max_length"
PAIR_TOO_LONG = "the pair is longer than reward.max_length"
ALIKE = "the tokenizer cannot tell chosen from rejected"


@dataclass(frozen=True, slots=True)
class EncodedPair:
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    margin: float


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """`pairs` are those of `sources`, in their order."""

    pairs: tuple[EncodedPair, ...]
    sources: tuple[PreferencePair, ...]
    dropped: dict[str, int]


def encode(pairs: Iterable[PreferencePair], tokenizer: ConversationTokenizer, max_length: int,
           shorten: bool) -> EncodedPairs:
    made: list[tuple[EncodedPair, PreferencePair]] = []
    dropped: Counter[str] = Counter()
    for pair in pairs:
        try:
            made.append((_encoded(pair, tokenizer, max_length, shorten), pair))
        except RowError as fault:
            dropped[str(fault)] += 1
    return EncodedPairs(tuple(one for one, _ in made), tuple(pair for _, pair in made), dict(dropped))


def _encoded(pair: PreferencePair, tokenizer: ConversationTokenizer, max_length: int, shorten: bool) -> EncodedPair:
    (chosen, of_chosen), (rejected, of_rejected) = (tokenizer.ids(pair.prompt, text)
                                                    for text in (pair.chosen, pair.rejected))
    if chosen == rejected:
        raise RowError(ALIKE)
    over = max(len(chosen), len(rejected)) - max_length
    if over > 0:
        if not shorten:
            raise RowError(PAIR_TOO_LONG)
        if max(of_chosen, of_rejected) > max_length:
            raise RowError(TOO_LONG)
        # Both lose the same, or the beginning that is left would tell the longer reply from the shorter one.
        cut = min(over, len(chosen) - of_chosen, len(rejected) - of_rejected)
        chosen, rejected = chosen[cut:], rejected[cut:]
    return EncodedPair(tuple(chosen), tuple(rejected), pair.margin or 0.0)
