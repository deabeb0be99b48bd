"""How much longer preferred texts are than rejected ones, and which pairs to leave out so that neither side is longer.

A preference for the longer text is the first thing that training on pairs learns. Lengths are in characters, which
every draw has, kept or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qstar_core.selection.draws import order_of
from qstar_core.selection.pairs import Pair


@dataclass(slots=True)
class LengthGap:
    """Sums over the pairs; `left_out` counts those that balancing dropped."""

    pairs: int = 0
    characters: int = 0
    chosen_longer: int = 0
    rejected_longer: int = 0
    left_out: int = 0

    def add(self, gap: int) -> None:
        self.pairs += 1
        self.characters += gap
        self.chosen_longer += gap > 0
        self.rejected_longer += gap < 0

    @property
    def told(self) -> str:
        if not self.pairs:
            return "no pairs"
        text = (f"the chosen text is longer by {self.characters / self.pairs:.1f} characters on average, "
                f"and longer in {self.chosen_longer / self.pairs:.0%} of {self.pairs} pairs")
        return f"{text}; {self.left_out} pairs left out to balance lengths" if self.left_out else text


class Balance:
    """Which pairs stay so that as many chosen texts are longer as are shorter: of the larger side, those that come
    first in a random order of their own. Memory holds a number for every pair of unequal lengths."""

    def __init__(self, pairs: Iterable[Pair], seed: int) -> None:
        self._seed = seed
        sides: dict[bool, list[int]] = {True: [], False: []}
        for pair in pairs:
            if pair.gap:
                sides[pair.gap > 0].append(self._order(pair))
        size = min(len(side) for side in sides.values())
        self._last = {longer: sorted(orders)[size - 1] if size else -1 for longer, orders in sides.items()}

    def stays(self, pair: Pair) -> bool:
        return not pair.gap or self._order(pair) <= self._last[pair.gap > 0]

    def _order(self, pair: Pair) -> int:
        return order_of(self._seed, pair.chosen.sample_id, pair.rejected.sample_id)
