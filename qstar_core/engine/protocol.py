"""What an engine is: jobs in, finished samples out, one at a time, in whatever order they finish.

A job is one draw of one prompt. What a finished sample holds depends on the job and the sampling settings alone, never
on the engine's batch, its order of work, or what ran before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from qstar_core.records import PromptPair, Sample, Trace


@dataclass(frozen=True, slots=True)
class Job:
    sample_id: str
    pair: PromptPair
    draw: int


@dataclass(frozen=True, slots=True)
class Finished:
    """`trace` is None where diagnostics are off or the sample failed."""

    sample: Sample
    trace: Trace | None


class Engine(Protocol):
    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        """Yield every job's sample exactly once. Closing the iterator cancels what is in flight."""
        ...
