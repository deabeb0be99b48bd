"""Samples that are to begin, as they come: some are here, more may come later."""

from __future__ import annotations

from collections.abc import Iterator

from qstar_core.engine.sequence import Sequence


class Arrivals:
    """`dry`: none will come any more."""

    def __init__(self, queue: Iterator[Sequence | None]) -> None:
        self._queue = queue
        self.dry = False

    def take(self) -> Sequence | None:
        """The next one, or None where none is here now."""
        if self.dry:
            return None
        try:
            return next(self._queue)
        except StopIteration:
            self.dry = True
            return None
