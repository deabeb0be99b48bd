"""Publishing over a bad network, by publishers that are killed, on a server that is killed: never a visible half
version, never a lost shard, and whoever publishes next ends with the version of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from qstar_core.errors import StoreError, UnavailableError
from qstar_core.records import DatasetVersion
from qstar_core.store.localserver import LocalS3Server, RunningS3
from tests.faults.conftest import Network
from tests.faults.proxy import PASSING, Fault, always, at, first, never, share
from tests.faults.publisher import started
from tests.faults.rounds import Round, finished, nothing_is_lost, whole_or_absent

ATTEMPTS = 4  # of the publish task
PHASES = (Fault.RESET, Fault.CUT_REQUEST, Fault.LOST)  # killed before the server hears, half-way, and after it did it
QUICK_KILLS, SLOW_KILLS = 3, 30


def tried(use: Callable[[], DatasetVersion]) -> DatasetVersion:
    """As the publish task does it: again where the store did not answer."""
    for _ in range(ATTEMPTS - 1):
        try:
            return use()
        except UnavailableError:
            continue
    return use()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_publisher_whose_calls_fail_ends_with_the_same_version(through: Network, judged: Round, seed: int) -> None:
    """While a reader looks on, who never sees half of it."""
    judged.put(through.direct)
    network, done = through(share(0.2, seed)), threading.Event()

    def look() -> list[bool]:
        seen = []
        while not done.is_set():
            seen.append(whole_or_absent(through.direct, judged))
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(look)
        try:
            tried(lambda: judged.publish(network.store))
        finally:
            done.set()
    seen = reader.result()
    assert len(network.proxy.struck) > 5 and seen == sorted(seen) and len(seen) > 1
    finished(through.direct, judged)


@pytest.mark.parametrize("words", [("data.parquet",), ("PUT", "manifest.json"), ("PUT", "latest.json"), ("DELETE",)],
                         ids=lambda words: words[-1])
def test_a_store_that_stops_answering_ends_in_one_line_and_the_next_run_goes_on(
        through: Network, judged: Round, words: tuple[str, ...]) -> None:
    judged.put(through.direct)
    fault = Fault.LOST if words[0] == "PUT" else Fault.E500
    network = through(always(fault, *words))
    with pytest.raises(UnavailableError) as caught:
        judged.publish(network.store)
    assert "\n" not in str(caught.value) and network.proxy.endpoint_url in caught.value.problem and caught.value.fix
    assert caught.value.exit_code == 6
    # a lost answer is that of a write that happened
    assert whole_or_absent(through.direct, judged) == (words != ("data.parquet",))
    finished(through.direct, judged)


def test_two_publishers_over_bad_networks_are_both_in_history_once(through: Network, judged: Round) -> None:
    judged.put(through.direct)
    networks = [through(share(0.2, seed, PASSING)) for seed in (5, 6)]
    with ThreadPoolExecutor(2) as pool:
        publishing = [pool.submit(tried, partial(judged.publish, network.store)) for network in networks]
    ended = [future.exception() for future in publishing]
    # the slower one may miss what the faster one has cleared away, and says so
    assert None in ended and all(error is None or isinstance(error, StoreError) for error in ended), ended
    finished(through.direct, judged)


def killed(network: Network, judged: Round, number: int, phase: Fault) -> None:
    """A publisher that dies at its request of that number."""
    victim: list[BaseProcess] = []
    behind = network(at(number, phase), lambda _: os.kill(victim[0].pid or 0, signal.SIGKILL))
    victim.append(started(behind.store, judged.project.settings, judged.plan.plan_key))
    victim[0].join(180)
    assert victim[0].exitcode == -signal.SIGKILL and behind.proxy.struck


@pytest.fixture(scope="module")
def requests(s3_server: RunningS3, judged: Round) -> int:
    """How many an undisturbed publisher makes."""
    with ExitStack() as opened:
        network = Network(s3_server, s3_server.store("counted"), "counted", opened)
        judged.put(network.direct)
        counting = network(never)
        judged.publish(counting.store)
        return len(counting.proxy.seen)


@pytest.mark.parametrize("kill", [pytest.param(number, marks=[] if number < QUICK_KILLS else [pytest.mark.slow])
                                  for number in range(SLOW_KILLS)])
def test_a_killed_publisher_is_finished_by_the_next(through: Network, judged: Round, requests: int, kill: int) -> None:
    judged.put(through.direct)
    # a random point in each of thirty equal parts of the run
    part, rng = (kill * 11) % SLOW_KILLS, random.Random(kill)
    killed(through, judged, int((part + rng.random()) * requests / SLOW_KILLS), PHASES[kill % 3])
    finished(through.direct, judged)


def test_a_server_killed_before_the_manifest_has_lost_nothing(tmp_path: Path, through: Network, judged: Round) -> None:
    server = LocalS3Server(tmp_path / "s3", bucket="tests")
    try:
        running = server.start()
        judged.put(running.store("killed"))
        own = Network(running, running.store("killed"), "killed", through.opened)
        network = own(first(Fault.RESET, "PUT", "manifest.json"), lambda _: os.kill(running.pid, signal.SIGKILL))
        with pytest.raises(StoreError) as caught:
            judged.publish(network.store)
        assert isinstance(caught.value, UnavailableError) and "manifest.json" in caught.value.problem
        again = server.start()
        assert again.endpoint_url == running.endpoint_url and again.pid != running.pid
        nothing_is_lost(again.store("killed"), judged)
        assert not whole_or_absent(again.store("killed"), judged)
        finished(again.store("killed"), judged)
    finally:
        server.stop()
