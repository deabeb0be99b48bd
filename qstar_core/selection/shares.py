"""Target shares: how many rows each group gives, so that the groups stand in the wanted proportion.

The rows are never padded. The total is the largest at which every group that has rows reaches its share, but at most
`max_drop` of the rows that have a share are given up for that; a group that then falls short, or has no rows at all, is
told with its figures. Rows of a group without a share go. What `targets` does not name shares the rest as one group.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from qstar_core.config import MixingSettings
from qstar_core.records import ShareLine

STAGE = "mixing"
REASON = "over its share"
OTHER = "other"
Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One way to group rows, and the share that each of its values shall have; they add up to 1."""

    name: str
    targets: Mapping[str, float]

    def value_of(self, value: str) -> str:
        return value if value in self.targets else OTHER


def dimensions(settings: MixingSettings) -> tuple[Dimension, ...]:
    """Those that have targets. Several hold together: a group's share is the product of its values' shares."""
    wanted: dict[str, Mapping[str, float]] = {"kind": settings.kind, "source": settings.source,
                                              "difficulty": {str(k): v for k, v in settings.difficulty.items()}}
    return tuple(Dimension(name, _whole(targets)) for name, targets in wanted.items() if targets)


def _whole(targets: Mapping[str, float]) -> dict[str, float]:
    rest = 1.0 - sum(targets.values())
    return {**targets, OTHER: targets.get(OTHER, 0.0) + max(0.0, rest)}


def quotas(counts: Counter[Group], wanted: tuple[Dimension, ...], max_drop: float) -> dict[Group, int]:
    """Rows to keep of each group; at least one of a group that has a share and rows."""
    shares = group_shares(wanted)
    reachable = [counts[group] / share for group, share in shares.items() if share > 0 and counts[group]]
    floor = (1.0 - max_drop) * sum(count for group, count in counts.items() if shares.get(group, 0.0) > 0)
    taken = _taken(counts, shares, min(reachable, default=0.0))
    if sum(taken.values()) >= floor or not reachable:
        return taken
    low, high = min(reachable), max(reachable)  # groups that are used up give their part to those that have more rows
    while high - low > 0.25:
        middle = (low + high) / 2
        low, high = (low, middle) if sum(_taken(counts, shares, middle).values()) >= floor else (middle, high)
    return _taken(counts, shares, high)


def _taken(counts: Counter[Group], shares: Mapping[Group, float], total: float) -> dict[Group, int]:
    return {group: min(counts[group], max(1, math.floor(share * total + 0.5))) if share > 0 and counts[group] else 0
            for group, share in shares.items()}


def group_shares(wanted: tuple[Dimension, ...]) -> dict[Group, float]:
    return {tuple(value for value, _ in cell): math.prod(share for _, share in cell)
            for cell in product(*(dimension.targets.items() for dimension in wanted))}


def share_lines(counts: Counter[Group], taken: Mapping[Group, int], wanted: tuple[Dimension, ...]) -> tuple[ShareLine,
                                                                                                           ...]:
    """What was wanted, there and taken, value by value of every dimension."""
    total, lines = sum(taken.values()), []
    for place, dimension in enumerate(wanted):
        for value, share in dimension.targets.items():
            available = sum(count for group, count in counts.items() if group[place] == value)
            kept = sum(count for group, count in taken.items() if group[place] == value)
            if share > 0 or available:
                lines.append(ShareLine(by=dimension.name, value=value, wanted=share, available=available, taken=kept,
                                       share=kept / total if total else 0.0))
    return tuple(lines)


def shortfalls(lines: Sequence[ShareLine]) -> list[str]:
    """One phrase for each share that is not reached: more than one row short of it."""
    total = {line.by: sum(other.taken for other in lines if other.by == line.by) for line in lines}
    return [f"{line.by} {line.value} is {line.share:.1%} of the rows, wanted {line.wanted:.1%} ({line.available} there)"
            for line in lines if line.taken + 1 < line.wanted * total[line.by]]
