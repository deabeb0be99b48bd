"""What an engine is: jobs in, finished samples out, one at a time, in whatever order they finish.

A job is one draw of one prompt. What a finished sample holds depends on the job and the sampling settings alone, never
on the engine's batch, its order of work, or what ran before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from qstar_core.records import PromptPair, Sample, Trace

Listener = Callable[[int, int], bool]
"""Told a sample's tokens as they are drawn, each with its position, the one that ends the sample aside. False: nobody
wants the rest, and the sample ends there as failed. Where memory ran out it may be told the same positions again."""


@dataclass(frozen=True, slots=True)
class Job:
    """`seed` and `max_tokens` are the sample's own; None: those of the settings."""

    sample_id: str
    pair: PromptPair
    draw: int
    seed: int | None = None
    max_tokens: int | None = None
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """`trace` is None where diagnostics are off or the sample failed."""

    sample: Sample
    trace: Trace | None


class Engine(Protocol):
    def generate(self, jobs: Iterable[Job | None]) -> Iterator[Finished]:
        """Yield every job's sample exactly once. Closing the iterator cancels what is in flight.

        `jobs` is read whenever there is room. None means that no job waits now: it is read again before the next step,
        so that jobs can join a running batch. It may block while all samples that it gave are finished."""
        ...
