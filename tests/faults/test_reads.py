"""Reads over a bad network: whole and right, or one clear line in bounded time; never half a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qstar_core.errors import IntegrityError, StoreError, UnavailableError
from qstar_core.store.s3 import S3Store
from tests.faults.conftest import Network
from tests.faults.proxy import PASSING, Fault, always, first, never, share

DATA = os.urandom(40_000)
DAMAGED = (Fault.FLIP_ANSWER, Fault.STALL_ANSWER, Fault.SLOW_ANSWER)


def _download(store: S3Store, folder: Path) -> bytes:
    store.download("data/a", folder / "a")
    return (folder / "a").read_bytes()


def _uses(store: S3Store, folder: Path) -> list[tuple[str, Callable[[], object], object]]:
    """What is asked, the word that the request holds, and what comes back undisturbed."""
    return [
        ("GET data/a", lambda: store.read("data/a"), DATA),
        ("GET data/a", lambda: _download(store, folder), DATA),
        ("HEAD", lambda: [store.head("data/a").size], [len(DATA)]),  # type: ignore[union-attr]
        ("HEAD", lambda: [_download(store, folder)], [DATA]),
        ("GET ?", lambda: [info.key for info in store.list("data/")], ["data/a", "data/b"]),
    ]


@pytest.fixture
def filled(through: Network) -> Network:
    for key in ("data/a", "data/b"):
        through.direct.write(key, DATA)
    return through


@pytest.mark.parametrize("fault", [*PASSING, *DAMAGED], ids=lambda fault: fault.name)
def test_a_read_outlives_a_fault(filled: Network, tmp_path: Path, fault: Fault) -> None:
    network = filled(never, timeout_s=0.5 if fault is Fault.STALL_ANSWER else 20)
    uses = _uses(network.store, tmp_path)
    for words, use, wanted in uses[:2] if fault in DAMAGED else uses:  # the others have no checksum, no large body
        network.meets(first(fault, *words.split()))
        assert use() == wanted
        assert len(network.proxy.struck) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"a"}


@pytest.mark.parametrize(("fault", "words"), [
    (Fault.RESET, "the connection broke"), (Fault.CUT_ANSWER, "the connection broke"),
    (Fault.E500, "the server failed"), (Fault.E503, "asks for fewer requests"),
])
def test_a_storm_ends_in_one_line(filled: Network, tmp_path: Path, fault: Fault, words: str) -> None:
    network = filled(always(fault, "GET"))
    uses = [_uses(network.store, tmp_path)[number][1] for number in (0, 1, 4)]
    for use in uses[:1] if fault is Fault.E503 else uses:  # the client waits longer after a SlowDown
        before = len(network.proxy.struck)
        with pytest.raises(UnavailableError) as caught:
            use()
        problem = caught.value.problem
        assert "data/" in problem and network.proxy.endpoint_url in problem and "\n" not in str(caught.value)
        assert words in problem or (fault is Fault.CUT_ANSWER and "the server failed" in problem), problem
        assert caught.value.fix and len(network.proxy.struck) - before >= 4, "it was not tried again"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("script", "most"), [
    (always(Fault.SILENT), 4), (always(Fault.SILENT, "GET"), 5), (always(Fault.STALL_ANSWER, "GET"), 6),
])
def test_a_server_that_never_answers_is_given_up_in_time(filled: Network, tmp_path: Path, script: Callable[..., Fault],
                                                         most: int) -> None:
    network = filled(script, timeout_s=0.25)
    for use in (lambda: network.store.read("data/a"), lambda: _download(network.store, tmp_path)):
        before, started = len(network.proxy.seen), time.monotonic()
        with pytest.raises(UnavailableError, match=r"data/a at http.*the server does not answer — check store\.s3"):
            use()
        asked = len(network.proxy.seen) - before
        assert 4 <= asked <= most and time.monotonic() - started < 0.25 * asked + 8
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_always_damaged_are_refused(filled: Network, tmp_path: Path) -> None:
    network = filled(always(Fault.FLIP_ANSWER, "GET", "data/a"))
    for use in (lambda: network.store.read("data/a"), lambda: _download(network.store, tmp_path)):
        with pytest.raises(IntegrityError, match=r"data/a at http.*the bytes do not match their checksum"):
            use()
    assert len(network.proxy.struck) == 8 and not list(tmp_path.iterdir())


def test_an_expired_session_is_not_asked_again(filled: Network, tmp_path: Path) -> None:
    network = filled(never)
    for _, use, _ in _uses(network.store, tmp_path):
        network.meets(always(Fault.EXPIRED))
        with pytest.raises(StoreError, match="sign in again") as caught:
            use()
        assert not isinstance(caught.value, UnavailableError) and len(network.proxy.seen) <= 2


def test_a_large_file_comes_whole_through_a_bad_network(through: Network, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(data := os.urandom((5 << 20) + 1))
    through.direct.upload("data/a", tmp_path / "large")
    network = through(never)
    for seed in range(4):
        network.meets(share(0.15, seed))
        assert _download(network.store, tmp_path) == data == network.store.read("data/a")
        assert network.proxy.seen and {path.name for path in tmp_path.iterdir()} == {"a", "large"}
