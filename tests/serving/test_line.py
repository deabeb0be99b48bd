"""The line's law: first come first served, each sample once, one mixing at a time, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import AlphaSettings, SamplingSettings, SupportSettings
from qstar_core.engine.protocol import Finished
from qstar_core.errors import EngineError, QstarError
from qstar_core.records import FinishReason, Sample
from qstar_core.serving.line import FullError, Line, Mixing, Ticket, Turn
from qstar_core.serving.worker import Worker
from tests.engine.models import pair_of_prompts

PAIR = pair_of_prompts("p", (1,), (2,))
MIXINGS = [Mixing(alpha=AlphaSettings(method="fixed", fixed=share), sampling=SamplingSettings(),
                  support=SupportSettings()) for share in (0.0, 0.5, 1.0)]


def ticket(name: str, mixing: Mixing, told: list[Any]) -> Ticket:
    return Ticket(name, PAIR, 0, 0, 3, mixing, told.append)


class Echo:
    """An engine with two seats that gives every sample its number of tokens. It notes who sits together."""

    def __init__(self, mixing: Mixing, seen: list[tuple[Mixing, list[str]]], fails: bool) -> None:
        self._mixing, self._seen, self._fails = mixing, seen, fails

    def generate(self, jobs: Any) -> Iterator[Finished]:
        jobs, seats, dry = iter(jobs), [], False
        while True:
            while len(seats) < 2 and not dry:
                try:
                    job = next(jobs)
                except StopIteration:
                    dry = True
                    break
                if job is None:
                    break
                seats.append([job, 0])
            if self._fails and seats:
                raise EngineError("broken")
            if not seats and dry:
                return
            if seats:
                self._seen.append((self._mixing, [job.sample_id for job, _ in seats]))
            for seat in list(seats):
                job, position = seat
                seat[1] += 1
                wanted = job.listener(position, position)
                if not wanted or seat[1] == job.max_tokens:
                    seats.remove(seat)
                    yield Finished(Sample(
                        id=job.sample_id, prompt_id="p", draw=0, completion="", token_ids=(), seed=job.seed,
                        finish_reason=FinishReason.LENGTH if wanted else FinishReason.ERROR, max_tokens=3), None)


def worked(tickets: list[Ticket], fails: frozenset[int] = frozenset()) -> list[tuple[Mixing, list[str]]]:
    """All of them, by a worker in a thread of its own."""
    seen: list[tuple[Mixing, list[str]]] = []
    line = Line(1000)
    line.join(tickets)
    left = threading.Semaphore(0)
    for one in tickets:
        tell = one.tell
        one.tell = lambda heard, tell=tell: (tell(heard), None if isinstance(heard, int) else left.release())
    worker = Worker(lambda mixing: Echo(mixing, seen, MIXINGS.index(mixing) in fails), line)  # type: ignore
    worker.start()
    for _ in tickets:
        assert left.acquire(timeout=10), "somebody is forgotten"
    worker.close()
    assert not worker.alive
    return seen


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.frozensets(st.integers(0, 2)))
def test_everybody_is_served_once_in_order_and_only_with_their_like(kinds: list[int], fails: frozenset[int]) -> None:
    told: list[list[Any]] = [[] for _ in kinds]
    seen = worked([ticket(str(i), MIXINGS[kind], told[i]) for i, kind in enumerate(kinds)], fails)
    begun = [int(name) for _, names in seen for name in names]
    assert list(dict.fromkeys(begun)) == [i for i, kind in enumerate(kinds) if kind not in fails]
    for mixing, names in seen:
        assert all(MIXINGS[kinds[int(name)]] == mixing for name in names)
    for i, heard in enumerate(told):
        if kinds[i] in fails:
            assert len(heard) == 1 and isinstance(heard[0], QstarError)
        else:
            assert heard[:-1] == [0, 1, 2] and isinstance(heard[-1], Finished)


def test_the_line_has_an_end_and_takes_all_of_a_request_or_none() -> None:
    line = Line(2)
    line.join([ticket("a", MIXINGS[0], [])])
    with pytest.raises(FullError, match=r"1 samples wait already, and serve\.max_waiting is 2"):
        line.join([ticket("b", MIXINGS[0], []), ticket("c", MIXINGS[0], [])])
    assert line.waiting == 1


def test_who_left_the_line_does_not_take_a_place() -> None:
    line = Line(1)
    gone = ticket("a", MIXINGS[0], [])
    line.join([gone])
    gone.cancelled = True
    line.join([ticket("b", MIXINGS[0], [])])
    turn = Turn(line, MIXINGS[0])
    job = next(turn)
    assert job is not None and job.sample_id == "b"
    assert next(turn) is None, "an engine that has work is not held up"


def test_a_token_that_is_told_again_is_heard_once() -> None:
    told: list[Any] = []
    one = ticket("a", MIXINGS[0], told)
    for position in (0, 1, 0, 1, 2):
        assert one.job().listener(position, 7 + position)  # type: ignore[misc]
    assert told == [7, 8, 9]


def test_stopping_tells_those_who_wait() -> None:
    told: list[Any] = []
    line = Line(9)
    line.join([ticket("a", MIXINGS[0], told)])
    worker = Worker(lambda mixing: Echo(mixing, [], False), line)  # type: ignore
    stopped = line.close()
    assert [one.id for one in stopped] == ["a"]
    worker.start()
    worker.close()
    with pytest.raises(FullError, match="stopping"):
        line.join(stopped)
