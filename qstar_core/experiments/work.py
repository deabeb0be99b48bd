"""A piece of work: what a worker process does at once, and what is never done twice.

Its key is the hash of everything that its result depends on, so two specs that ask for the same share it. The result is
one record at `experiments/<shelf>/<key>.json`, written once; what has it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeVar

from qstar_core.errors import ConflictError, IntegrityError
from qstar_core.experiments.study import StudySettings
from qstar_core.records import JsonObject, Record, content_hash
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


class Timed(Record):
    """A result that says what it took, as whoever ran it knows."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    code_version: str = ""
    created: str = ""


T = TypeVar("T", bound=Timed)


def whole(study: StudySettings, kind: str, form: int) -> list[Work]:
    """A study that is one piece of work. `form` goes up when the same settings would give other results."""
    asked = study.model_dump(mode="json", exclude={"title", "not_run_here"})
    parts = [form, version("qstar"), {name: value for name, value in asked.items() if name != "name"}]
    return [Work(study=study.name, kind=kind, label="all", shelf=kind, key=content_hash(parts)[:24], asked=asked)]


def timed(make: Callable[[], T]) -> T:
    wall, cpu = time.monotonic(), time.process_time()
    return make().model_copy(update={
        "wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu,
        "code_version": version("qstar"), "created": datetime.now(UTC).isoformat(timespec="seconds")})


def found(store: ObjectStore, work: Work, kind: type[R]) -> R | None:
    """Its result, if it is done."""
    if store.head(work.place) is None:
        return None
    record = load_record(store, work.place, kind)
    if getattr(record, "key", work.key) != work.key:
        raise IntegrityError(f"{store.locate(work.place)} is the result of another piece of work",
                             "remove it and run the study again")
    return record


def kept(store: ObjectStore, work: Work, made: R) -> R:
    """What stands from now on: the first result."""
    with suppress(ConflictError):
        store.write(work.place, made.model_dump_json(indent=1).encode(), if_absent=True)
    return load_record(store, work.place, type(made))
