"""Who sits in which slot. A slot is refilled as soon as its sample ends; the batch never waits for its slowest row.
When nobody waits any more, the last samples can move together, so that empty slots cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from qstar_core.engine.sequence import Sequence


class Scheduler:
    """Hands sequences to free slots in the order of the queue."""

    def __init__(self, queue: Iterator[Sequence], slots: int) -> None:
        self._queue = queue
        self._dry = False
        self.seats: list[Sequence | None] = [None] * slots

    def admit(self) -> Iterator[tuple[int, Sequence]]:
        """Seat waiting sequences; yields each new (slot, sequence)."""
        for slot, seat in enumerate(self.seats):
            if seat is None:
                sequence = next(self._queue, None)
                if sequence is None:
                    self._dry = True
                    return
                self.seats[slot] = sequence
                yield slot, sequence

    def move_together(self) -> list[int]:
        """The slots whose samples go on, if those are at most half of the slots and nobody waits: they are seated anew,
        in this order. Else none."""
        rows = [slot for slot, _ in self.seated()]
        if not self._dry or not 0 < len(rows) <= len(self.seats) // 2:
            return []
        self.seats = [self.seats[row] for row in rows]
        return rows

    def release(self, slot: int) -> None:
        self.seats[slot] = None

    def seated(self) -> Iterator[tuple[int, Sequence]]:
        for slot, seat in enumerate(self.seats):
            if seat is not None:
                yield slot, seat
