"""Blocks of candidates through the leading filters of a chain in worker processes, results in the order of the round.

Only filters that judge every sample by itself run here. A few blocks are in flight at a time, so memory stays flat. The
workers are loky's, because those of the standard library import the main program again, each for itself: torch and
prefect, seconds and hundreds of MB that no filter here needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from loky.process_executor import ProcessPoolExecutor

from qstar_core.config import FilterStep
from qstar_core.errors import DataError
from qstar_core.filters.base import Candidate
from qstar_core.filters.progress import Progress, Step, advance
from qstar_core.records import Message, Prompt, Sample

T = TypeVar("T")
Block = tuple[list[T], list[Candidate], list[Progress]]
Told = tuple[Any, ...]

# loky starts a worker anew that has grown by 300 MB; a language model of lingua is that large, and no leak.
_ENVIRONMENT = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e15"}

_steps: list[Step] = []


class Workers:
    def __init__(self, processes: int, steps: Sequence[FilterStep]) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(processes, initializer=_begin, initargs=(tuple(steps),),
                                         env=_ENVIRONMENT)

    def advance(self, blocks: Iterable[Block[T]]) -> Iterator[Block[T]]:
        waiting: deque[tuple[Block[T], Future[list[Progress]]]] = deque()
        try:
            for block in blocks:
                waiting.append((block, self._pool.submit(_advance, list(map(_told, block[1])), block[2])))
                if len(waiting) > 2 * self._processes:
                    yield _done(*waiting.popleft())
            while waiting:
                yield _done(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        self._pool.shutdown()


def _done(block: Block[T], future: Future[list[Progress]]) -> Block[T]:
    try:
        return block[0], block[1], future.result()
    except BrokenProcessPool:
        raise DataError("a filter's worker process died", "free some memory, or set filtering.processes to 1") from None


def _begin(steps: tuple[FilterStep, ...]) -> None:
    from qstar_core.filters.chain import configured

    _steps.extend(configured(steps))


def _advance(told: list[Told], states: list[Progress]) -> list[Progress]:
    advance(_steps, list(map(_heard, told)), states)
    return states


def _told(candidate: Candidate) -> Told:
    """What `Filter.spreads` allows to be read, plain: records cost four times as much on the way."""
    prompt, sample = candidate.prompt, candidate.sample
    messages = [(message.role, message.content) for message in prompt.messages]
    return (prompt.id, messages, prompt.answer, prompt.kind,
            sample.id, sample.draw, sample.completion, sample.token_ids, sample.finish_reason, sample.seed,
            sample.max_tokens, sample.error)


def _heard(told: Told) -> Candidate:
    (prompt_id, messages, answer, kind, sample_id, draw, completion, token_ids, finish, seed, most, error) = told
    prompt = Prompt(id=prompt_id, messages=tuple([Message(role=role, content=text) for role, text in messages]),
                    answer=answer, kind=kind)
    return Candidate(prompt, Sample(
        id=sample_id, prompt_id=prompt_id, draw=draw, completion=completion, token_ids=token_ids, finish_reason=finish,
        seed=seed, max_tokens=most, error=error))
