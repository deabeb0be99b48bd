"""Ctrl-C and SIGTERM while samples are in flight: those are finished and kept, no new ones begin, and then the signal
does what it would have done at once.

That takes no longer than the grace. A second Ctrl-C ends it at once; a second SIGTERM does not, since service managers
send it to a process and to its parent, which sends it on. Before the first sample, and in other threads than the main
one, which get no signals, nothing is put off.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from qstar_core.engine.protocol import Job

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED, _OVER = "asked", "over"


class Stop:
    """Knows which samples are in flight, and whether they are the last ones."""

    def __init__(self) -> None:
        self.asked = False
        self.flying = 0

    def begun(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs, as long as nobody asks to stop."""
        for job in jobs:
            if self.asked:
                return
            self.flying += 1
            yield job

    def ended(self) -> None:
        """A sample is finished."""
        self.flying -= 1


@contextmanager
def rows_first(grace_s: float, on_asked: Callable[[int], None]) -> Iterator[Stop]:
    """Around work that begins its samples by the Stop. `on_asked` hears of the samples in flight, in another thread,
    because it may write to logs and terminals that the interrupted code has locked."""
    stop = Stop()
    if grace_s <= 0 or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals = _Signals(stop, grace_s, on_asked)
    try:
        yield stop
    finally:
        signals.close()  # whatever ended the work: once a signal came, the signal is why


class _Signals:
    """Stands in for the handlers until it is closed."""

    def __init__(self, stop: Stop, grace_s: float, on_asked: Callable[[int], None]) -> None:
        self._stop, self._grace_s, self._on_asked = stop, grace_s, on_asked
        self._first: int | None = None
        self._expired = self._closed = False
        self._told: SimpleQueue[str] = SimpleQueue()  # the one whose put may interrupt itself
        self._watcher = threading.Thread(target=self._watch, name="stopping", daemon=True)
        self._watcher.start()
        known = {number: signal.getsignal(number) for number in _SIGNALS}
        self._before: dict[int, Any] = {n: handler for n, handler in known.items() if _ends(handler)}
        for number in self._before:
            signal.signal(number, self._hear)

    def close(self) -> None:
        self._closed = True
        self._told.put(_OVER)
        self._watcher.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._first is not None:
            _act(self._before[self._first], self._first)
            raise KeyboardInterrupt

    def _hear(self, number: int, _: FrameType | None) -> None:
        first = self._first is None
        if first:
            self._first, self._stop.asked = number, True
            self._told.put(_ASKED)
        if self._closed:  # nothing to interrupt any more; a first signal that comes now is acted on at the end
            return
        if not self._stop.flying or self._expired or (number == signal.SIGINT and not first):
            raise KeyboardInterrupt

    def _watch(self) -> None:
        if self._told.get() == _OVER:
            return
        if self._stop.flying:
            self._on_asked(self._stop.flying)
        try:
            self._told.get(timeout=self._grace_s)
        except Empty:
            self._expired = True
            signal.pthread_kill(threading.main_thread().ident or 0, self._first or signal.SIGTERM)


def _ends(handler: Any) -> bool:
    """Not one that is ignored, nor one that Python does not know."""
    return callable(handler) or handler is signal.SIG_DFL


def _act(handler: Any, number: int) -> None:
    if callable(handler):
        handler(number, None)
    else:
        signal.raise_signal(number)
