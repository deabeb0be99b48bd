"""Replay: older kept rows that come back, so that the student does not forget.

A row comes back only if the same words for the same prompt are not there already. Which rows come is
decided by a hash of seed, round, prompt and words, the same on every machine.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Iterable, Iterator

from qstar_core.records import JsonObject
from qstar_core.selection.draws import order_of


def replay_count(new_rows: int, share: float) -> int:
    """Older rows that make up `share` of the whole, rounded down."""
    return math.floor(new_rows * share / (1.0 - share) + 1e-9)


def identity(row: JsonObject) -> int:
    """The same for the same prompt answered in the same words."""
    return order_of(0, row["prompt_id"], *row["messages"][-1]["content"].split())


def chosen_rows(rows: Iterable[JsonObject], present: Container[int], count: int, seed: int,
                round_name: str) -> list[JsonObject]:
    """At most `count` rows, in the order of their hashes. Memory holds them, and a number for every older row."""
    fresh = _once(((identity(row), row) for row in rows), present)
    return heapq.nsmallest(count, fresh, key=lambda row: order_of(seed, round_name, str(identity(row))))


def _once(named: Iterable[tuple[int, JsonObject]], present: Container[int]) -> Iterator[JsonObject]:
    """What is not present, and the first of what lies in several versions."""
    seen: set[int] = set()
    for name, row in named:
        if name not in present and name not in seen:
            seen.add(name)
            yield row
