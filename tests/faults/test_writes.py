"""Writes over a bad network: done once and whole, or one clear line; conditions hold also where an answer was lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from qstar_core.errors import ConflictError, StoreError, UnavailableError
from qstar_core.store.objects import ObjectStore
from qstar_core.store.s3 import S3Store
from tests.faults.conftest import Network
from tests.faults.proxy import PASSING, Fault, always, first, never, share

OLD, NEW = os.urandom(30_000), os.urandom(30_000)
LARGE = os.urandom((5 << 20) + 1)


def _uses(store: S3Store, etag: str, large: Path) -> list[tuple[str, Callable[[], object], str, bytes]]:
    """Words of the request, the write, the key that it changes, and what is there then."""
    return [
        ("PUT new", lambda: store.write("new", NEW), "new", NEW),
        ("PUT absent", lambda: store.write("absent", NEW, if_absent=True), "absent", NEW),
        ("PUT old", lambda: store.write("old", NEW, if_match=etag), "old", NEW),
        ("PUT copied", lambda: store.copy("other", "copied"), "copied", OLD),
        ("POST ?uploads", lambda: store.upload("large0", large), "large0", LARGE),
        ("PUT partNumber=2", lambda: store.upload("large1", large), "large1", LARGE),
        ("POST uploadId=", lambda: store.upload("large2", large), "large2", LARGE),
    ]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    (tmp_path / "large").write_bytes(LARGE)
    return tmp_path / "large"


@pytest.mark.parametrize("fault", [*PASSING, Fault.SLOW_REQUEST], ids=lambda fault: fault.name)
def test_a_write_outlives_a_fault(through: Network, large: Path, fault: Fault) -> None:
    etag = [through.direct.write(key, OLD) for key in ("other", "old")][1]
    network = through(never)
    for words, write, key, wanted in _uses(network.store, etag, large):
        network.meets(first(fault, *words.split()))
        given = write()
        assert through.direct.read_with_etag(key) == (wanted, given or through.direct.read_with_etag(key)[1])
        assert len(network.proxy.struck) == 1
    left = through.direct._client.list_multipart_uploads(Bucket=through.server.bucket, Prefix=f"{through.prefix}/")
    assert len(left.get("Uploads", ())) <= 1, "at most the upload whose first answer was lost"


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT_REQUEST, Fault.FLIP_REQUEST, Fault.E500],
                         ids=lambda fault: fault.name)
def test_a_write_that_never_arrives_changes_nothing(through: Network, large: Path, fault: Fault) -> None:
    etag = [through.direct.write(key, OLD) for key in ("other", "old")][1]
    before = list(through.direct.list(""))
    network = through(always(fault, "PUT"))
    for number in (0, 1, 2, 5):
        with pytest.raises(UnavailableError) as caught:
            _uses(network.store, etag, large)[number][1]()
        assert network.proxy.endpoint_url in caught.value.problem and "\n" not in str(caught.value)
    assert network.proxy.struck and list(through.direct.list("")) == before
    assert through.direct.read("old") == OLD


def test_a_write_whose_every_answer_is_lost_is_found_by_the_next_try(through: Network) -> None:
    etag = through.direct.write("old", OLD)
    network = through(always(Fault.LOST, "PUT"))
    for key, condition in (("absent", {"if_absent": True}), ("old", {"if_match": etag})):
        with pytest.raises(UnavailableError):
            network.store.write(key, NEW, **condition)  # type: ignore[arg-type]
        assert through.direct.read(key) == NEW
        with pytest.raises(ConflictError):
            through(never).store.write(key, NEW, **condition)  # type: ignore[arg-type]


def test_an_expired_session_is_told_and_nothing_is_asked_again(through: Network, large: Path) -> None:
    etag = [through.direct.write(key, OLD) for key in ("other", "old")][1]
    network = through(always(Fault.EXPIRED, "P"))
    for number in (0, 1, 2, 3, 4):
        with pytest.raises(StoreError, match="the session token has expired") as caught:
            _uses(network.store, etag, large)[number][1]()
        assert type(caught.value) is StoreError
    assert len(network.proxy.struck) == 5


def test_a_list_that_many_append_to_over_bad_networks_holds_each_name_once(through: Network) -> None:
    """As publishers move `latest`. A write that was done, lost its answer and was replaced since is told as a conflict:
    the name is in the list then, and is not appended again."""
    through.direct.write("names", b"[]")
    each = 8

    def append(store: ObjectStore, client: int) -> None:
        for number in range(each):
            name = f"{client}-{number}"
            while name not in (names := json.loads((got := store.read_with_etag("names"))[0])):
                with suppress(ConflictError):
                    store.write("names", json.dumps([*names, name]).encode(), if_match=got[1])

    faults = (Fault.RESET, Fault.LOST, Fault.CUT_ANSWER, Fault.E500)
    # with these seeds no request is struck four times in a row, which is more than the client's tries
    networks = [through(share(0.15, seed, faults)) for seed in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, [network.store for network in networks], range(3)))
    names = json.loads(through.direct.read("names"))
    assert sorted(names) == [f"{client}-{number}" for client in range(3) for number in range(each)]
    assert sum(len(network.proxy.struck) for network in networks) > 5
