"""Work on several objects at the same time: at most `workers` of them are in memory or on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def together(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Results as they come. The first failure is raised after what runs has ended; what waits is not begun."""
    left = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="store") as pool:
        running: set[Future[R]] = {pool.submit(work, item) for item in islice(left, workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            running |= {pool.submit(work, item) for item in islice(left, len(done))}
