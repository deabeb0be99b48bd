"""One holder at a time, by an object in the store: taken by a conditional write, kept by a heartbeat, given back at the
end. It coordinates processes on any machines that share the store.

A holder that died is followed at once on its own machine, and elsewhere after `LEASE_S` seconds without a heartbeat,
by the follower's clock: clocks of two machines are never compared. The object stays: one that was not given back, and
whose holder is dead, tells of a crash; one that was given back because its process was told to end tells of work left
undone.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from qstar_core.records import Record
from qstar_core.store.objects import ObjectStore
from qstar_core.store.processes import alive, here

BEAT_S = 10.0
LEASE_S = 40.0
_POLL_S = 1.0


class Holder(Record):
    """`run` is what the holder calls itself in other systems, such as a flow run's id. `beat` changes with every
    heartbeat. `interrupted`: by Ctrl-C or a signal."""

    name: str
    run: str
    host: str
    pid: int
    token: str
    since: str
    beat: str
    released: bool = False
    interrupted: bool = False

    @property
    def done(self) -> bool:
        """Given back because the work came to an end, in success or failure."""
        return self.released and not self.interrupted

    @property
    def told(self) -> str:
        return f"{self.name} (process {self.pid} on {self.host.rpartition('-')[0] or self.host}, since {self.since})"

    @property
    def dead(self) -> bool | None:
        """None where only its heartbeats tell: it ran on another machine."""
        return not alive(self.pid) if self.host == here() else None


class Lease:
    """A lease that is held; `check` raises as soon as it is known to be lost."""

    def __init__(self, store: ObjectStore, key: str, holder: Holder, etag: str) -> None:
        self._store, self._key, self._holder, self._etag = store, key, holder, etag
        self._lost = False
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {key}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        if self._lost:
            raise ConflictError(f"{self._store.locate(self._key)} went to another holder: this process did not renew "
                                f"it for {LEASE_S:.0f} s", "run again: it goes on where the other one is")

    def release(self, interrupted: bool = False) -> None:
        self._ended.set()
        self._thread.join()
        if not self._lost:
            with suppress(StoreError):  # not told, it counts as a crash, and whoever looks finds the work done
                self._write(released=True, interrupted=interrupted)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._write()
            except ConflictError:
                self._lost = True
                return
            except StoreError:  # the next beat may get through; others follow only after LEASE_S
                self._lost = time.monotonic() - self._renewed > LEASE_S
                if self._lost:
                    return

    def _write(self, released: bool = False, interrupted: bool = False) -> None:
        told = {"beat": _now(), "released": released, "interrupted": interrupted}
        self._holder = self._holder.model_copy(update=told)
        self._etag = self._store.write(self._key, self._holder.model_dump_json().encode(), if_match=self._etag)
        self._renewed = time.monotonic()


@contextmanager
def lease(store: ObjectStore, key: str, name: str, run: str = "", *, wait_s: float | None = None,
          on_wait: Callable[[Holder], None] | None = None) -> Iterator[Lease]:
    """Hold the lease of `key` inside of the block. A living holder is waited for: as long as it takes, or at most
    `wait_s` seconds, after which a ConflictError names it. `on_wait` hears of each holder once."""
    held = _take(store, key, name, run, wait_s, on_wait)
    try:
        yield held
    except BaseException as error:
        held.release(interrupted=not isinstance(error, Exception))
        raise
    held.release()


def holder_of(store: ObjectStore, key: str) -> Holder | None:
    """Who holds or last held it; None if nobody ever did."""
    return _read(store, key)[0]


def observed(look: Callable[[], dict[str, Holder]], patience_s: float) -> tuple[dict[str, Holder], list[str]]:
    """All holders, and the names of those that left work undone: dead without giving back, or interrupted. One on
    another machine is looked at until it beats, at most so many seconds."""
    first = now = look()
    since = time.monotonic()
    while time.monotonic() - since < patience_s and any(_silent(first.get(name), now[name]) for name in now):
        time.sleep(_POLL_S)
        now = look()
    return now, [name for name, holder in now.items()
                 if holder.interrupted or (not holder.released and (holder.dead or _silent(first.get(name), holder)))]


def _silent(before: Holder | None, holder: Holder) -> bool:
    """On another machine, and without a heartbeat since it was first looked at."""
    return not holder.released and holder.dead is None and before is not None and before.beat == holder.beat


def _take(store: ObjectStore, key: str, name: str, run: str, wait_s: float | None,
          on_wait: Callable[[Holder], None] | None) -> Lease:
    deadline = None if wait_s is None else time.monotonic() + wait_s
    told, beat, seen = "", "", time.monotonic()
    while True:
        current, etag = _read(store, key)
        if current is not None and not current.released and not current.dead:
            if current.beat != beat:
                beat, seen = current.beat, time.monotonic()
            if time.monotonic() - seen <= LEASE_S:
                if deadline is not None and time.monotonic() >= deadline:
                    raise ConflictError(f"{store.locate(key)} is held by {current.told}",
                                        "wait for its end, or end that process")
                if on_wait is not None and current.token != told:
                    on_wait(current)
                    told = current.token
                time.sleep(_POLL_S)
                continue
        mine = Holder(name=name, run=run, host=here(), pid=os.getpid(), token=uuid.uuid4().hex, since=_now(),
                      beat=_now())
        try:
            return Lease(store, key, mine, store.write(key, mine.model_dump_json().encode(),
                                                       if_absent=current is None, if_match=etag or None))
        except ConflictError:  # another one was faster: look who
            continue


def _read(store: ObjectStore, key: str) -> tuple[Holder | None, str]:
    try:
        data, etag = store.read_with_etag(key)
        return Holder.model_validate_json(data), etag
    except NotFoundError:
        return None, ""
    except ValidationError:
        raise IntegrityError(f"{store.locate(key)} is not a lease", "remove it") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
