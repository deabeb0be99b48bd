"""Ctrl-C and SIGTERM: what is in flight is finished and kept, nothing new begins, and the signal still ends the run."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType

import pytest

from qstar_core.engine.protocol import Finished, Job
from qstar_core.errors import EngineError
from qstar_core.stages.generate import generate_shard, ledger_entry
from qstar_core.stages.parts import Parts
from qstar_core.stages.plan import Plan
from qstar_core.stages.stopping import Stop, rows_first
from tests.stages.scripted import Project, finished_of
from tests.stages.test_generate import one_shard, rows

SLOTS = 4
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


class TerminatedError(BaseException):
    """What the handler of a host such as Prefect raises."""


@dataclass
class SlotsEngine:
    """Takes a job whenever one of its slots is free, as real engines do. `happens`: what comes to pass once so many
    samples are finished."""

    answers: dict[str, str | None]
    happens: dict[int, Callable[[], object]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        queue, seats = iter(jobs), list[Job]()
        while True:
            while len(seats) < SLOTS and (job := next(queue, None)) is not None:
                self.begun.append(job.sample_id)
                seats.append(job)
            self.happens.pop(len(self.ended), lambda: None)()
            if not seats:
                return
            job = seats.pop(len(self.ended) % len(seats))
            self.ended.append(job.sample_id)
            yield finished_of(job, self.answers[job.pair.prompt_id])


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    def terminate(*_: object) -> None:
        raise TerminatedError

    wanted = {signal.SIGTERM: terminate, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    found = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert found == wanted


def engine_of(project: Project, plan: Plan, happens: dict[int, Callable[[], object]]) -> SlotsEngine:
    return SlotsEngine(project.engine(plan).answers, happens)


def sent(*numbers: signal.Signals) -> Callable[[], None]:
    def send() -> None:
        for number in numbers:
            signal.raise_signal(number)

    return send


def run(project: Project, plan: Plan, engine: SlotsEngine, grace_s: float = 60) -> list[int]:
    """What was told of samples in flight."""
    told: list[int] = []
    with rows_first(grace_s, told.append) as stop:
        generate_shard(project.workspace(), plan, 0, lambda: engine, None, stop)
    return told


def kept(project: Project, plan: Plan) -> set[str]:
    with project.workspace().scratch() as scratch:
        return {row.sample.id for row in Parts(project.store, plan.parts_key(0), scratch).read()}


@BOTH
@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_what_is_in_flight_is_finished_and_nothing_new_begins(project: Project, number: signal.Signals,
                                                              after: int) -> None:
    project = one_shard(project)
    undisturbed = project.with_settings(dataset="undisturbed", round__shard_size=99, round__prompts=5)
    expected = rows(undisturbed, undisturbed.generated(undisturbed.plan()))
    plan = project.plan()
    first = engine_of(project, plan, {after: sent(number)})
    with pytest.raises(TerminatedError if number == signal.SIGTERM else KeyboardInterrupt):
        run(project, plan, first)
    assert set(first.begun) == set(first.ended) == kept(project, plan) and len(first.begun) == after + SLOTS
    assert ledger_entry(project.store, plan, 0) is None
    second = engine_of(project, plan, {})
    run(project, plan, second)
    assert len(second.begun) == 10 - len(first.begun) and not set(second.begun) & set(first.begun)
    assert rows(project, plan) == expected


def test_a_shard_that_is_complete_all_the_same_is_finished_first(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    with pytest.raises(TerminatedError):
        run(project, plan, engine_of(project, plan, {9: sent(signal.SIGTERM)}))
    assert ledger_entry(project.store, plan, 0) is not None


def test_it_is_told_how_many_are_in_flight(project: Project) -> None:
    plan = one_shard(project).plan()
    told: list[int] = []
    heard = threading.Event()

    def tell(flying: int) -> None:
        told.append(flying)
        heard.set()

    engine = engine_of(project, plan, {2: lambda: (signal.raise_signal(signal.SIGINT), heard.wait(10))})
    with pytest.raises(KeyboardInterrupt), rows_first(60, tell) as stop:
        generate_shard(one_shard(project).workspace(), plan, 0, lambda: engine, None, stop)
    assert told == [SLOTS]


@pytest.mark.parametrize(("numbers", "at_once"), [
    ((signal.SIGINT, signal.SIGINT), True), ((signal.SIGTERM, signal.SIGINT), True),
    ((signal.SIGTERM, signal.SIGTERM), False), ((signal.SIGINT, signal.SIGTERM), False)])
def test_a_second_ctrl_c_ends_it_at_once_and_a_second_sigterm_does_not(
        project: Project, numbers: tuple[signal.Signals, ...], at_once: bool) -> None:
    project = one_shard(project)
    plan = project.plan()
    engine = engine_of(project, plan, {3: sent(*numbers)})
    with pytest.raises(TerminatedError if numbers[0] == signal.SIGTERM else KeyboardInterrupt):
        run(project, plan, engine)
    assert kept(project, plan) == set(engine.ended) and len(engine.ended) == (3 if at_once else 3 + SLOTS)


def test_it_takes_no_longer_than_the_grace(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    engine = engine_of(project, plan, {2: sent(signal.SIGTERM), 3: lambda: time.sleep(30)})
    since = time.monotonic()
    with pytest.raises(TerminatedError):
        run(project, plan, engine, grace_s=0.2)
    assert time.monotonic() - since < 20 and kept(project, plan) == set(engine.ended) and len(engine.ended) == 3


def test_a_grace_of_nothing_ends_it_at_once(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    engine = engine_of(project, plan, {3: sent(signal.SIGINT)})
    with pytest.raises(KeyboardInterrupt):
        run(project, plan, engine, grace_s=0)
    assert kept(project, plan) == set(engine.ended) and len(engine.ended) == 3


@BOTH
def test_without_samples_in_flight_nothing_is_put_off(number: signal.Signals) -> None:
    """Loading a model takes minutes; nobody waits for that."""
    told: list[object] = []
    with pytest.raises(TerminatedError if number == signal.SIGTERM else KeyboardInterrupt), rows_first(60, told.append):
        signal.raise_signal(number)
        told.append("it went on")
    assert told == []


def test_a_shard_that_is_asked_to_stop_says_so_by_itself(project: Project) -> None:
    project = one_shard(project)
    plan, stop = project.plan(), Stop()
    engine = engine_of(project, plan, {3: lambda: setattr(stop, "asked", True)})
    with pytest.raises(KeyboardInterrupt):
        generate_shard(project.workspace(), plan, 0, lambda: engine, None, stop)
    assert kept(project, plan) == set(engine.begun) and stop.flying == 0


def test_an_engine_that_dies_of_the_signal_too_still_ends_as_told_to(project: Project) -> None:
    """The signal of a whole process group ends the process of an engine as well."""
    project = one_shard(project)
    plan = project.plan()

    def die() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise EngineError("the process of vLLM ended")

    engine = engine_of(project, plan, {3: die})
    with pytest.raises(TerminatedError):
        run(project, plan, engine)
    assert kept(project, plan) == set(engine.ended) and len(engine.ended) == 3


def test_an_ignored_signal_stays_ignored(project: Project) -> None:
    """As under `nohup`."""
    project = one_shard(project)
    plan = project.plan()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(project, plan, engine_of(project, plan, {3: sent(signal.SIGINT)}))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ledger_entry(project.store, plan, 0) is not None


def test_a_handler_that_returns_does_not_let_the_run_go_on() -> None:
    heard: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        with pytest.raises(KeyboardInterrupt), rows_first(60, lambda _: None) as stop:
            stop.flying = 1
            signal.raise_signal(signal.SIGTERM)
            assert stop.asked and heard == []
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_other_threads_get_no_signals_and_need_nothing() -> None:
    ran: list[bool] = []

    def work() -> None:
        with rows_first(60, lambda _: None) as stop:
            ran.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [False]
