"""What a running round tells whoever listens in the same process: the terminal, the log file, the metrics, and the
progress shown by the Prefect server. A listener never ends a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """`done` of `total` units of a stage's work; `text` tells what came out where the stage has ended."""

    stage: str
    text: str = ""
    item: str = ""
    done: int = 0
    total: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard was sampled by this process: how long it took, and the share of judged drafts that stood."""

    shard: int
    seconds: float
    acceptance: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Samples or a run that failed; `reason` is one of few, never a text with names in it."""

    reason: str
    count: int = 1


Told = Event | ShardDone | Failure
Listener = Callable[[Told], None]
_listeners: list[Listener] = []


def emit(event: Told) -> None:
    for listener in _listeners:
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
