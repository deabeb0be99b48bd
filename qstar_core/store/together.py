"""Work on several objects at the same time: at most `workers` of them are in memory or on the way.

When one fails, or the user interrupts, no further one is begun, and `Stop` tells those that run to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from itertools import islice
from threading import Event
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Stop:
    """Asked by long work between its steps."""

    def __init__(self) -> None:
        self._told = Event()

    def tell(self) -> None:
        self._told.set()

    def check(self) -> None:
        if self._told.is_set():
            raise CancelledError


def together(work: Callable[[T], R], items: Iterable[T], workers: int, stop: Stop | None = None) -> Iterator[R]:
    """Results as they come. The first failure is raised after what runs has ended."""
    left = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="store") as pool:
        running: set[Future[R]] = {pool.submit(work, item) for item in islice(left, workers)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                running |= {pool.submit(work, item) for item in islice(left, len(done))}
        except BaseException:
            if stop is not None:
                stop.tell()
            raise
