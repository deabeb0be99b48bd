"""The order of a source's rows: a shuffle through a buffer, and one shard of several."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def shuffled(items: Iterable[T], seed: int, buffer: int) -> Iterator[T]:
    """A permutation that depends on seed, buffer and length alone. Memory holds `buffer` items; with a buffer as long
    as the source every permutation is equally likely."""
    rng = random.Random(f"shuffle {seed}")
    held: list[T] = []
    for item in items:
        if len(held) < buffer:
            held.append(item)
            continue
        place = rng.randrange(buffer)
        yield held[place]
        held[place] = item
    rng.shuffle(held)
    yield from held


def shard(items: Iterable[T], index: int, count: int) -> Iterator[T]:
    """Every `count`-th item: the shards of a source are disjoint, and together they are the source."""
    return (item for position, item in enumerate(items) if position % count == index)
