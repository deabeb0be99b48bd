"""A piece of work: what a worker process does at once, and what is never done twice.

Its key is the hash of everything that its result depends on, so two specs that ask for the same share it. The result is
one record at `experiments/<shelf>/<key>.json`, written once; what has it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from qstar_core.errors import ConflictError
from qstar_core.records import JsonObject, Record
from qstar_core.stages.lines import load_record
from qstar_core.store.objects import ObjectStore

R = TypeVar("R", bound=Record)
Tell = Callable[[str, int, int], None]
"""Hears (what is being done, steps so far, steps of it)."""


class Work(Record):
    """`label` is for people, such as leaky/uniform/2; `arm` is what `--only STUDY/ARM` compares, empty where a kind has
    none. `asked` is all that the kind's `run` needs."""

    study: str
    kind: str
    label: str
    arm: str = ""
    shelf: str
    key: str
    asked: JsonObject

    @property
    def place(self) -> str:
        return f"experiments/{self.shelf}/{self.key}.json"

    @property
    def told(self) -> str:
        return f"{self.study} {self.label}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a study of a kind is cut into pieces, what a piece makes, and how it is done. `run` is called in a process
    with one thread and a home of its own; it writes nothing to the store."""

    plan: Callable[[Any], list[Work]]
    run: Callable[[Work, Tell], Record]
    result: type[Record]


def found(store: ObjectStore, work: Work, kind: type[R]) -> R | None:
    """Its result, if it is done."""
    return None if store.head(work.place) is None else load_record(store, work.place, kind)


def kept(store: ObjectStore, work: Work, made: R) -> R:
    """What stands from now on: the first result."""
    with suppress(ConflictError):
        store.write(work.place, made.model_dump_json(indent=1).encode(), if_absent=True)
    return load_record(store, work.place, type(made))
