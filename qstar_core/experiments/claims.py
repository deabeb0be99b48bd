"""Runs of one spec share its work: a piece is claimed in the store before it is done, and looked for once more.

A claim is a lease. Nobody waits for one: who finds a piece claimed goes on with the next, and comes back in the end.
Who does a piece does not matter, since its result depends on its key alone, and the first result stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from enum import StrEnum

from qstar_core.errors import ConflictError, StoreError
from qstar_core.experiments.work import Work, found, kept
from qstar_core.records import Record
from qstar_core.store import leases
from qstar_core.store.objects import ObjectStore


class Outcome(StrEnum):
    MADE = "made"    # by this run
    FOUND = "found"  # another run has done it meanwhile
    HELD = "held"    # another run is at it


def claim_of(work: Work) -> str:
    return f"experiments/claims/{work.key}.json"


def shared(store: ObjectStore, work: Work, run: Callable[[Work], Record], result: type[Record]) -> Outcome:
    """Do it, unless it is done or another run is at it. `result` is what a finished one is read as."""
    if found(store, work, result) is not None:
        return Outcome.FOUND
    with ExitStack() as stack:
        try:
            stack.enter_context(leases.lease(store, claim_of(work), f"experiment {work.told}", wait_s=0.0))
        except ConflictError:
            return Outcome.HELD
        stack.callback(_drop, store, work)
        if found(store, work, result) is not None:
            return Outcome.FOUND
        kept(store, work, run(work))
    return Outcome.MADE


def _drop(store: ObjectStore, work: Work) -> None:
    """A claim that is done with is no record of anything. One that stays only costs its followers a lease."""
    with suppress(StoreError):
        store.delete(claim_of(work))


class Waiting:
    """For pieces that other runs are at. A run on another machine is given up after a lease without a heartbeat."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._beats: dict[str, tuple[str, float]] = {}

    def free(self, held: Sequence[Work]) -> list[Work]:
        """Those that nobody is at any more."""
        return [work for work in held if self._free(work)]

    def _free(self, work: Work) -> bool:
        holder = leases.holder_of(self._store, claim_of(work))
        if holder is None or holder.released or holder.dead:
            return True
        beat, since = self._beats.get(work.key, ("", 0.0))
        if beat != holder.beat:
            self._beats[work.key] = holder.beat, time.monotonic()
            return False
        if time.monotonic() - since <= leases.LEASE_S:
            return False
        _drop(self._store, work)
        return True
