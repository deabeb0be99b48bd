"""Runs share the work of a spec: no piece is done twice at once, and nobody who died keeps one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qstar_core.errors import EngineError, StoreError
from qstar_core.experiments.claims import Outcome, Waiting, claim_of, shared
from qstar_core.experiments.trial import try_page, try_store
from qstar_core.experiments.work import Timed, Work
from qstar_core.store import leases
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.leases import Holder, holder_of, lease
from qstar_core.store.objects import ObjectStore

WORKS = [Work(study="main", kind="grid", label=str(number), shelf="cells", key=f"key{number}", asked={})
         for number in range(6)]
FIRST = WORKS[0]


def made(work: Work) -> Timed:
    return Timed(code_version=work.key)


def elsewhere(store: ObjectStore, beat: str = "1") -> None:
    """A run on another machine is at it."""
    holder = Holder(name="other", run="", host="elsewhere", pid=1, token="t", since="now", beat=beat)
    store.write(claim_of(FIRST), holder.model_dump_json().encode())


def test_what_is_done_is_found_and_leaves_no_claim(store: ObjectStore) -> None:
    assert shared(store, FIRST, made, Timed) is Outcome.MADE
    assert shared(store, FIRST, lambda _: pytest.fail("it is done"), Timed) is Outcome.FOUND
    assert holder_of(store, claim_of(FIRST)) is None


def test_two_runs_do_every_piece_once(store: ObjectStore) -> None:
    done: list[str] = []

    def slow(work: Work) -> Timed:
        done.append(work.key)
        time.sleep(0.05)
        return made(work)

    outcomes: list[list[Outcome]] = [[], []]
    both = [threading.Thread(target=lambda mine: mine.extend(shared(store, work, slow, Timed) for work in WORKS),
                             args=(mine,)) for mine in outcomes]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(done) == [work.key for work in WORKS]
    counts = [mine.count(Outcome.MADE) for mine in outcomes]
    assert sum(counts) == len(WORKS) and min(counts) > 0, "both have worked"


def test_a_piece_that_fails_is_free_again(store: ObjectStore) -> None:
    def fails(work: Work) -> Timed:
        raise EngineError(work.key)

    with pytest.raises(EngineError):
        shared(store, FIRST, fails, Timed)
    assert shared(store, FIRST, made, Timed) is Outcome.MADE


def test_what_another_run_is_at_is_left_to_it_until_it_is_through(store: ObjectStore) -> None:
    waiting = Waiting(store)
    with lease(store, claim_of(FIRST), "another run"):
        assert shared(store, FIRST, lambda _: pytest.fail("it is held"), Timed) is Outcome.HELD
        assert not waiting.free([FIRST])
    assert waiting.free([FIRST]) == [FIRST]


def test_a_run_that_is_silent_for_a_lease_is_followed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.3)
    waiting = Waiting(store)
    for beat in "123":
        elsewhere(store, beat)
        assert not waiting.free([FIRST])
        time.sleep(0.2)
    deadline = time.monotonic() + 5
    while not waiting.free([FIRST]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert shared(store, FIRST, made, Timed) is Outcome.MADE


def test_what_will_be_written_is_tried_and_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    try_store(store)
    assert not list(store.list("experiments"))
    try_page(tmp_path / "a" / "page")
    assert not list((tmp_path / "a" / "page").iterdir())
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "page"):
        with pytest.raises(StoreError, match="cannot write the page into"):
            try_page(wrong)
    with pytest.raises(StoreError):
        try_store(DirectoryStore(tmp_path / "file" / "store"))
    (tmp_path / "b" / "EXPERIMENTS.md").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"EXPERIMENTS\.md there cannot be replaced"):
        try_page(tmp_path / "b")
