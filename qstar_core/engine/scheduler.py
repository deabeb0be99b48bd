"""Who sits in which slot. A slot is refilled as soon as its sample ends; the batch never waits for its slowest row.
When nobody waits any more, the last samples can move together, so that empty slots cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from qstar_core.engine.arrivals import Arrivals
from qstar_core.engine.sequence import Sequence


class Scheduler:
    """Hands sequences to free slots in the order of the queue."""

    def __init__(self, queue: Iterator[Sequence | None], slots: int) -> None:
        self._arrivals = Arrivals(queue)
        self.seats: list[Sequence | None] = [None] * slots

    def admit(self) -> Iterator[tuple[int, Sequence]]:
        """Seat waiting sequences; yields each new (slot, sequence)."""
        for slot, seat in enumerate(self.seats):
            if seat is None:
                sequence = self._arrivals.take()
                if sequence is None:
                    return
                self.seats[slot] = sequence
                yield slot, sequence

    @property
    def dry(self) -> bool:
        """Whether nobody waits and nobody will come."""
        return self._arrivals.dry

    def move_together(self) -> list[int]:
        """The slots whose samples go on, if those are at most half of the slots and nobody waits: they are seated anew,
        in this order. Else none."""
        rows = [slot for slot, _ in self.seated()]
        if not self.dry or not 0 < len(rows) <= len(self.seats) // 2:
            return []
        self.seats = [self.seats[row] for row in rows]
        return rows

    def release(self, slot: int) -> None:
        self.seats[slot] = None

    def seated(self) -> Iterator[tuple[int, Sequence]]:
        for slot, seat in enumerate(self.seats):
            if seat is not None:
                yield slot, seat
