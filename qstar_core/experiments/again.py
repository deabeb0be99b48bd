"""Is a result what it would be today? Some finished cells are run afresh and held against their records, bit for bit.

Nothing is written: the records stand, whatever comes out. Seconds and days are no part of a result, and neither are the
names under which a cell was first asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from qstar_core.errors import DataError
from qstar_core.experiments.planning import Planned
from qstar_core.experiments.pool import OnStep, Pool
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.work import Work, found
from qstar_core.store.objects import ObjectStore

_SEED = 0
_ASIDE = {"wall_seconds", "cpu_seconds", "sampling_seconds", "training_seconds", "created", "cell"}
_MANY = 3


@dataclass(frozen=True, slots=True)
class Repeated:
    """`differences` names what came out otherwise, with both values; empty: nothing did."""

    work: Work
    differences: tuple[str, ...]


def drawn(plan: Planned, count: int) -> list[Work]:
    """So many of the finished cells, or all of them; the same ones each time. DataError where there is none."""
    left = {work.place for work in plan.left}
    done = {work.place: work for work in plan.works if work.kind == "grid" and work.place not in left}
    if not done:
        raise DataError("no cell of it is done", "run it first: only what has a result can be run again")
    return random.Random(_SEED).sample([done[place] for place in sorted(done)], min(count, len(done)))


def again(store: ObjectStore, works: list[Work], jobs: int, on_step: OnStep | None = None) -> Iterator[Repeated]:
    """In the order of `works`, as they are done."""
    before = [found(store, work, CellResult) for work in works]
    # the pool is left first, so that an interrupt ends what runs instead of waiting for it
    with ThreadPoolExecutor(jobs) as threads, Pool(jobs, on_step) as pool:
        for work, old, new in zip(works, before, threads.map(pool.run, works), strict=True):
            assert old is not None
            yield Repeated(work, tuple(differences(old.model_dump(mode="json"), new.model_dump(mode="json")))[:_MANY])


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - _ASIDE):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{name}.{place}")
    elif old != new:
        yield f"{name} was {old!s:.60} and is {new!s:.60}"
