"""Samples that wait for the engine, first come first served, between the threads that ask and the one that samples.

Samples that are mixed alike share a batch and join it as it runs. A sample that is mixed otherwise begins when those
before it are finished: an engine has one mixture at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from qstar_core.config import AlphaSettings, SamplingSettings, SupportSettings
from qstar_core.engine.protocol import Finished, Job
from qstar_core.errors import QstarError
from qstar_core.records import PromptPair, Record


class Mixing(Record):
    """What all samples of a batch have in common. Seed and length are each sample's own, so that here they are the
    defaults."""

    alpha: AlphaSettings
    sampling: SamplingSettings
    support: SupportSettings


class FullError(QstarError):
    """No more samples are taken now."""


Heard = int | Finished | QstarError
"""A token of the text, or the end."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One sample that is asked for. `tell` is called by the thread that samples."""

    id: str
    pair: PromptPair
    draw: int
    seed: int
    max_tokens: int
    mixing: Mixing
    tell: Callable[[Heard], None]
    cancelled: bool = False
    heard: int = 0

    def job(self) -> Job:
        return Job(self.id, self.pair, self.draw, self.seed, self.max_tokens, self._listen)

    def _listen(self, position: int, token: int) -> bool:
        if self.cancelled:
            return False
        if position == self.heard:
            self.heard += 1
            self.tell(token)
        return True


class Line:
    """`limit`: how many may wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def join(self, tickets: list[Ticket]) -> None:
        """All of them or none."""
        with self._changed:
            self._drop_cancelled()
            if self._closed:
                raise FullError("the server is stopping", "ask again when it is back")
            if len(self._waiting) + len(tickets) > self._limit:
                raise FullError(f"{len(self._waiting)} samples wait already, and serve.max_waiting is {self._limit}",
                                "ask again in a while")
            self._waiting += tickets
            self._changed.notify_all()

    def next_mixing(self) -> Mixing | None:
        """That of the sample that waits longest, once there is one; None when the line is closed."""
        with self._changed:
            while not self._closed:
                self._drop_cancelled()
                if self._waiting:
                    return self._waiting[0].mixing
                self._changed.wait()
            return None

    def take(self, mixing: Mixing, busy: bool) -> Ticket | None:
        """The next one of this mixing; None where none is here and the engine is busy, else it waits for one.
        StopIteration when others are to come first, or none at all."""
        with self._changed:
            while not self._closed:
                self._drop_cancelled()
                if self._waiting:
                    if self._waiting[0].mixing != mixing:
                        break
                    return self._waiting.popleft()
                if busy:
                    return None
                self._changed.wait()
            raise StopIteration

    def refuse(self, mixing: Mixing) -> list[Ticket]:
        """Take out those in front that cannot be served."""
        refused = []
        with self._changed:
            while self._waiting and self._waiting[0].mixing == mixing:
                refused.append(self._waiting.popleft())
        return refused

    def close(self) -> list[Ticket]:
        """Those that waited."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        return left

    def _drop_cancelled(self) -> None:
        if any(ticket.cancelled for ticket in self._waiting):
            self._waiting = deque(ticket for ticket in self._waiting if not ticket.cancelled)


@dataclass(slots=True)
class Turn(Iterator[Job | None]):
    """The jobs of one mixing, as an engine reads them. `open`: those that it has not finished."""

    line: Line
    mixing: Mixing
    open: dict[str, Ticket] = field(default_factory=dict)

    def __next__(self) -> Job | None:
        ticket = self.line.take(self.mixing, busy=bool(self.open))
        if ticket is None:
            return None
        self.open[ticket.id] = ticket
        return ticket.job()

    def finish(self, finished: Finished) -> None:
        self.open.pop(finished.sample.id).tell(finished)

    def fail(self, error: QstarError) -> None:
        """All that were begun; where none was, those that would have been, or they would be tried for ever."""
        failed = list(self.open.values()) or self.line.refuse(self.mixing)
        self.open.clear()
        for ticket in failed:
            ticket.tell(error)
