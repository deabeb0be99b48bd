"""What a running round tells whoever listens in the same process: the terminal does, a worker does not."""

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


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


def emit(event: Event) -> None:
    for listener in _listeners:
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
