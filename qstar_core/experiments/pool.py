"""Pieces of work in processes of one thread each: two of them on two cores do twice as much, and sums in one order give
the same bits whatever runs beside them.

A worker has a home of its own, gone with the pool, so that no two of them meet in one training run. It ends when the
process that started it does, however that ends. Workers are loky's, which do not import the main program again.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from loky.backend import get_context
from loky.process_executor import ProcessPoolExecutor, ShutdownExecutorError

from qstar_core.errors import EngineError
from qstar_core.experiments.work import Work
from qstar_core.home import model_cache, subfolder
from qstar_core.records import Record

_LOOKS_S = 1.0
OnStep = Callable[[str, str, int, int], None]
"""Hears (key of the work, what is being done, steps so far, steps of it)."""

_said: list[Any] = []


class Pool:
    """A context manager: leaving it by an error, or an interrupt, ends the workers in the middle of their work."""

    def __init__(self, jobs: int, on_step: OnStep | None = None) -> None:
        self._stack = ExitStack()
        home = self._stack.enter_context(TemporaryDirectory(prefix="experiment-", dir=subfolder("scratch"),
                                                            ignore_cleanup_errors=True))
        self._said: Any = get_context().SimpleQueue()
        self._listener = threading.Thread(target=self._listen, args=(on_step,), daemon=True)
        self._listener.start()
        environment = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e15", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
                       "QSTAR_MODEL_CACHE": str(model_cache())}
        self._executor: Any = ProcessPoolExecutor(jobs, initializer=_begin, initargs=(home, os.getpid(), self._said),
                                                  env=environment)

    def run(self, work: Work) -> Record:
        """Waits for a worker, and for the end of the work. EngineError where the worker died of it."""
        with suppress(BrokenProcessPool, ShutdownExecutorError):
            if self._executor is not None:
                future: Future[Record] = self._executor.submit(_run, work)
                return future.result()
        # Not from within: what the executor raised would hold it, and its semaphores, as long as this one is kept.
        raise EngineError(f"the process that worked on {work.told} died",
                          "look for missing memory; run it again, what is done is kept")

    def close(self, kill: bool) -> None:
        executor, self._executor = self._executor, None
        executor.shutdown(kill_workers=kill)
        self._said.put(None)
        self._listener.join()
        self._said.close()
        self._stack.close()
        self._said = None  # no semaphore is left when the process is ended at once, as after Ctrl-C

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close(kill=kind is not None)

    def _listen(self, on_step: OnStep | None) -> None:
        while (step := self._said.get()) is not None:
            if on_step is not None:
                on_step(*step)


def _begin(home: str, parent: int, said: Any) -> None:
    import torch

    # loky's own way would be told to the processes that the work starts, such as the verifier's, which do not know it
    multiprocessing.set_start_method("spawn", force=True)
    own = Path(home) / str(os.getpid())
    own.mkdir()
    os.environ["QSTAR_HOME"] = str(own)
    torch.set_num_threads(1)
    _said.append(said)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Nobody would take what an orphan makes."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_S)
    os._exit(1)


def _run(work: Work) -> Record:
    from qstar_core.experiments.kinds import KINDS

    return KINDS[work.kind].run(work, lambda what, done, total: _said[0].put((work.key, what, done, total)))
