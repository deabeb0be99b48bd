"""One holder at a time; a dead one is followed, at once on its machine and elsewhere after a lease without a beat."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qstar_core.errors import ConflictError, UnavailableError
from qstar_core.store import leases
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import Holder, holder_of, lease

KEY = "leases/x.json"
HOLD = """
import sys, time
from pathlib import Path
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import lease
with lease(DirectoryStore(Path(sys.argv[1])), "leases/x.json", "the other one", "run-1"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    monkeypatch.setattr(leases, "LEASE_S", 0.4)
    monkeypatch.setattr(leases, "_POLL_S", 0.02)
    return DirectoryStore(tmp_path)


def elsewhere(store: DirectoryStore, **values: object) -> Holder:
    """A holder on another machine."""
    made = Holder.model_validate({"name": "far", "run": "r", "host": "far-1", "pid": 1, "token": "t",
                                  "since": "2026-01-01T00:00:00", "beat": "b", **values})
    store.write(KEY, made.model_dump_json().encode())
    return made


def test_many_takers_never_hold_at_once(store: DirectoryStore) -> None:
    inside, most, turns = 0, 0, []

    def work(number: int) -> None:
        nonlocal inside, most
        with lease(store, KEY, f"worker {number}"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            turns.append(number)
            inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1 and sorted(turns) == list(range(6))
    last = holder_of(store, KEY)
    assert last is not None and last.released


def test_a_living_holder_is_waited_for_and_named(store: DirectoryStore) -> None:
    heard: list[Holder] = []
    with (lease(store, KEY, "first", "run-1"), pytest.raises(ConflictError, match=f"first .process {os.getpid()}"),
          lease(store, KEY, "second", wait_s=1.0, on_wait=heard.append)):
        pass
    assert [holder.name for holder in heard] == ["first"], "told once, not at every look"


def test_a_killed_holder_on_this_machine_is_followed_at_once(store: DirectoryStore, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 600)
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ConflictError, match="the other one"), lease(store, KEY, "me", wait_s=0.2):
        pass
    other.kill()
    other.wait()
    left = holder_of(store, KEY)
    assert left is not None and left.dead and not left.released and left.run == "run-1"
    with lease(store, KEY, "me", wait_s=5):
        pass


def test_a_silent_holder_elsewhere_is_followed_after_a_lease(store: DirectoryStore) -> None:
    elsewhere(store)
    since = time.monotonic()
    with lease(store, KEY, "me", wait_s=10):
        assert time.monotonic() - since >= leases.LEASE_S


def test_a_beating_holder_elsewhere_is_not_followed(store: DirectoryStore) -> None:
    elsewhere(store)
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.05):
            elsewhere(store, beat=str(count := count + 1))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(ConflictError), lease(store, KEY, "me", wait_s=3 * leases.LEASE_S):
            pass
    finally:
        ended.set()
        thread.join()


def test_who_lost_it_is_told_and_does_not_give_back_what_is_anothers(store: DirectoryStore) -> None:
    with lease(store, KEY, "me") as held:
        held.check()
        theirs = elsewhere(store)
        deadline = time.monotonic() + 5
        with pytest.raises(ConflictError, match="another holder"):
            while time.monotonic() < deadline:
                held.check()
    assert holder_of(store, KEY) == theirs


def test_a_store_that_is_away_for_a_moment_costs_nothing(store: DirectoryStore,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    with lease(store, KEY, "me") as held:
        with monkeypatch.context() as patch:
            def away(*_: object, **__: object) -> str:
                raise UnavailableError("the store is away")

            patch.setattr(store, "write", away)
            time.sleep(0.2)
        time.sleep(0.2)
        held.check()
    left = holder_of(store, KEY)
    assert left is not None and left.released
