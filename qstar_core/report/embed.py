"""The samples of a report as blocks of data inside the page, never larger together than the room they are given.

A block is JSON, deflated, in base64: text that no parser of HTML can mistake for anything else. `index` holds one
column a quantity over all listed samples; `texts-N` and `tokens-N` hold the samples' texts and tokens in the same
order, `texts_a_block` and `tokens_a_block` of them each, so that a page unpacks only what is looked at.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from qstar_core.records import JsonObject, Outcome
from qstar_core.report.data import ShownSample
from qstar_core.report.samples import STATUSES, row_of, texts_of, tokens_of

TEXTS_A_BLOCK = 100
TOKENS_A_BLOCK = 10
# Texts come before tokens, but leave room for some.
TEXTS_SHARE = 0.6
_OUTCOMES = [outcome.value for outcome in Outcome]
TAGS = 80  # bytes of the element around a block


@dataclass(frozen=True, slots=True)
class Block:
    name: str
    data: str

    @property
    def size(self) -> int:
        return len(self.data) + TAGS


@dataclass(frozen=True, slots=True)
class Embedded:
    """`listed` samples are in the page, and `told` of them token by token."""

    blocks: tuple[Block, ...]
    listed: int
    told: int

    @property
    def size(self) -> int:
        return sum(block.size for block in self.blocks)


NOTHING = Embedded((), 0, 0)


def embed(samples: Sequence[ShownSample], room: int) -> Embedded:
    """As many of the samples as `room` bytes hold, in their order; where one has no room, those after it have none."""
    texts = list(_within(_blocks("texts", samples, TEXTS_A_BLOCK, texts_of), int(TEXTS_SHARE * room)))
    while texts:
        listed = samples[: len(texts) * TEXTS_A_BLOCK]
        traced = [shown for shown in listed if shown.trace is not None]
        index = _index(listed, len(traced))
        left = room - index.size - sum(block.size for block in texts)
        if left >= 0:
            tokens = list(_within(_blocks("tokens", traced, TOKENS_A_BLOCK, tokens_of), left))
            told = min(len(traced), len(tokens) * TOKENS_A_BLOCK)
            # An index that names fewer told samples has fewer digits, so it needs no more room.
            return Embedded((_index(listed, told), *texts, *tokens), len(listed), told)
        texts.pop()
    return NOTHING


def pack(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def _blocks(kind: str, samples: Sequence[ShownSample], size: int,
            encode: Callable[[ShownSample], JsonObject]) -> Iterator[Block]:
    for start in range(0, len(samples), size):
        yield Block(f"{kind}-{start // size}", pack([encode(shown) for shown in samples[start : start + size]]))


def _within(blocks: Iterable[Block], room: int) -> Iterator[Block]:
    for block in blocks:
        room -= block.size
        if room < 0:
            return
        yield block


def _index(samples: Sequence[ShownSample], told: int) -> Block:
    rows = [row_of(shown) for shown in samples]
    reasons = sorted({(row["outcome"], row["stage"], row["reason"]) for row in rows},
                     key=lambda reason: (_OUTCOMES.index(reason[0]), *reason))
    number = {key: at for at, key in enumerate(reasons)}
    traced = itertools.count()
    trace_of = [next(traced) if shown.trace is not None else told for shown in samples]
    columns: dict[str, list[object]] = {
        "why": [number[row.pop("outcome"), row.pop("stage"), row.pop("reason")] for row in rows],
        "trace": [at if at < told else None for at in trace_of],
    }
    columns |= {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return Block("index", pack({
        "reasons": reasons, "outcomes": _OUTCOMES, "statuses": STATUSES,
        "texts_a_block": TEXTS_A_BLOCK, "tokens_a_block": TOKENS_A_BLOCK, "columns": columns,
    }))
