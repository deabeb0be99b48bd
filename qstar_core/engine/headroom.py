"""An engine that makes room: out of memory, it goes on with half of the slots, down to one.

Nothing finished is lost. What was in flight begins again and gets the tokens it would have got, because the random
numbers of a sample depend on the sample alone; only last float bits may differ, as with any other `engine.batch_size`.
The smaller number of slots stays for later runs.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain

import torch

from qstar_core.engine.protocol import Engine, Finished, Job
from qstar_core.engine.statistics import Statistics
from qstar_core.errors import EngineError, NoMemoryError

_log = logging.getLogger(__name__)
_SIGNS = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """torch has an error of its own for accelerators; on CPU it raises RuntimeError and says so in words."""
    if isinstance(error, RuntimeError):
        return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS)
    return isinstance(error, MemoryError)


class Headroom:
    """`build` makes the engine for a number of slots. A run that begins while another is open ends that one. Beside the
    log, `on_halved` is told the new number of slots."""

    def __init__(self, build: Callable[[int], Engine], slots: int) -> None:
        self._build = build
        self._engine: Engine | None = None
        self._run: object | None = None
        self.slots = slots
        self.on_halved: Callable[[int], None] | None = None

    @property
    def acceptance(self) -> float | None:
        """Share of the judged drafts that stood; None where none were judged."""
        statistics = getattr(self._engine, "statistics", None)
        return statistics.acceptance if isinstance(statistics, Statistics) else None

    def prepare(self) -> None:
        """Makes the engine before the first sample is asked for, so that what it cannot do is said at once."""
        while self._engine is None:
            try:
                self._engine = self._built()
            except NoMemoryError:
                if self.slots == 1:
                    raise
                self._halve()

    def generate(self, jobs: Iterable[Job | None]) -> Generator[Finished]:
        self._run = run = object()
        queue, open_jobs = iter(jobs), list[Job]()
        while True:
            try:
                with closing(self._attempt(queue, open_jobs)) as running:
                    for finished in running:
                        yield finished
                        if self._run is not run:
                            raise EngineError("another run began on the same engine, which ended this one",
                                              "take all samples of a run before the next begins")
                return
            except NoMemoryError:
                if self.slots == 1:
                    raise
            self._halve()
            queue, open_jobs = chain(open_jobs, queue), []

    def _attempt(self, queue: Iterator[Job | None], open_jobs: list[Job]) -> Generator[Finished]:
        """`open_jobs` holds what was taken from the queue and is not finished."""
        if self._engine is None:
            self._engine = self._built()
        for finished in self._engine.generate(_noted(queue, open_jobs)):
            done = finished.sample.id, finished.sample.draw
            open_jobs.remove(next(job for job in open_jobs if (job.sample_id, job.draw) == done))
            yield finished

    def _built(self) -> Engine:
        try:
            return self._build(self.slots)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise NoMemoryError(f"no memory for engine.batch_size = {self.slots}", "lower it") from error

    def _halve(self) -> None:
        """The old engine goes before the new one is made; both would need more memory than there was."""
        self._engine = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning("out of memory with %d samples in flight; going on with %d", self.slots, self.slots // 2)
        self.slots //= 2
        if self.on_halved is not None:
            self.on_halved(self.slots)


def _noted(queue: Iterator[Job | None], taken: list[Job]) -> Iterator[Job | None]:
    for job in queue:
        if job is not None:
            taken.append(job)
        yield job
