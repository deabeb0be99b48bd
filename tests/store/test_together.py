"""No more than `workers` at a time, every result once; a failure begins nothing further and stops what runs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from qstar_core.store.together import Stop, together


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_every_item_once_and_never_too_many(workers: int) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        time.sleep(0.005)
        with lock:
            running -= 1
        return number * 2

    assert sorted(together(work, range(20), workers)) == list(range(0, 40, 2))
    assert most <= workers and (workers == 1 or most > 1)
    assert list(together(work, [], workers)) == []


def test_a_failure_stops_the_others() -> None:
    stop, begun, ended = Stop(), list[int](), list[int]()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("the first one")
        try:
            for _ in range(2000):
                stop.check()
                time.sleep(0.005)
        except CancelledError:
            ended.append(number)
            raise

    started = time.monotonic()
    with pytest.raises(ValueError, match="the first one"):
        list(together(work, range(10), 3, stop))
    assert begun[0] == 0 and len(begun) <= 3 and set(ended) == set(begun) - {0}
    assert time.monotonic() - started < 5
