"""Blocks of candidates through the leading filters of a chain in worker processes, results in the order of the round.

Only filters that judge every sample by itself run here. A few blocks are in flight at a time, so memory stays flat.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from qstar_core.config import FilterStep
from qstar_core.errors import DataError
from qstar_core.filters.base import Candidate
from qstar_core.filters.progress import Progress, Step, advance

T = TypeVar("T")
Block = tuple[list[T], list[Candidate], list[Progress]]

_steps: list[Step] = []


class Workers:
    def __init__(self, processes: int, steps: Sequence[FilterStep]) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (tuple(steps),))

    def advance(self, blocks: Iterable[Block[T]]) -> Iterator[Block[T]]:
        waiting: deque[tuple[Block[T], Future[list[Progress]]]] = deque()
        for block in blocks:
            waiting.append((block, self._pool.submit(_advance, block[1], block[2])))
            if len(waiting) > 2 * self._processes:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _done(block: Block[T], future: Future[list[Progress]]) -> Block[T]:
    try:
        return block[0], block[1], future.result()
    except BrokenProcessPool:
        raise DataError("a filter's worker process died", "free some memory, or set filtering.processes to 1") from None


def _begin(steps: tuple[FilterStep, ...]) -> None:
    from qstar_core.filters.chain import configured

    _steps.extend(configured(steps))


def _advance(candidates: list[Candidate], states: list[Progress]) -> list[Progress]:
    advance(_steps, candidates, states)
    return states
