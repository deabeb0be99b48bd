"""The loop closes: refresh → retrain → evaluate → promote or keep, round by round, from the student that was promoted.

Each step is the flow or task that does it alone too. A loop that was killed anywhere goes on with the step it was in;
one that has ended says the same again. Annotations are real objects here, not strings: Prefect makes the form of a
deployment from them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.refresh import refresh
from flows.retrain import retrain
from qstar_core.config import Settings
from qstar_core.errors import ApprovalNeededError, ConflictError, CrashLoopError, NotPromotedError, QstarError
from qstar_core.loop.beside import Beside
from qstar_core.loop.book import Book
from qstar_core.loop.machine import Doers, Loop
from qstar_core.loop.page import write_page
from qstar_core.loop.records import Begun, Evaluated, Round
from qstar_core.loop.students import current, following
from qstar_core.loop.summary import Summary, summarise
from qstar_core.loop.unfinished import progress
from qstar_core.records import Checkpoint, DatasetVersion
from qstar_core.stages.crashes import crashes_counted
from qstar_core.stages.workspace import Workspace
from qstar_core.store.leases import LEASE_S, Holder, Lease, holder_of, lease
from tasks.events import Event, emit
from tasks.loop import beside_task, evaluate_task, page_artifact
from tasks.runlog import redacted
from tasks.watching import AWAITS_APPROVAL, STOPPED, announce

_DEFAULTS = Settings()
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """`page` is where the loop's page lies; `found` is None where the line's student is still the first one."""

    summary: Summary
    found: Beside | None
    page: str


def _run_name() -> str:
    parameters: dict[str, Any] = flow_run.parameters
    settings = Settings.model_validate(parameters["settings"])
    return f"{settings.student.line} loop {parameters.get('name', '1')}"


@flow(name="loop", flow_run_name=_run_name)
def loop(settings: Settings = _DEFAULTS, name: str = "1") -> Ended:
    """Rounds of refresh, retrain, evaluate and promote, until the settings under `loop` end it."""
    workspace = Workspace.open(following(settings))
    book = Book(workspace.store, settings.student.line, name)
    with line_held(book, str(flow_run.id)) as held, _counted(workspace, book):
        machine = Loop(workspace, book, _doers(workspace), held.check, _teller(workspace, book))
        begun = machine.begin()
        try:
            told = machine.run(begun)
            ended = _concluded(workspace, book, begun, told)
            if not ended.summary.promotions:
                raise NotPromotedError(f"loop {name} of line {book.line} promoted no student: {told}",
                                       f"read {ended.page}")
            return ended
        except QstarError as error:
            rounds = book.rounds()
            page_artifact(book, summarise(workspace.settings, begun, rounds, redacted(str(error))), None)
            announce(STOPPED, settings.dataset, round=str(len(rounds) + 1), problem=redacted(str(error)))
            raise


@contextmanager
def line_held(book: Book, run: str) -> Iterator[Lease]:
    """One loop works on a line at a time; a second one is told, and refused while the first lives."""
    holder = holder_of(book.store, book.lease_key)
    if holder is not None and not holder.released and holder.dead is False:
        raise ConflictError(f"line {book.line} is in the hands of {holder.told}",
                            "wait for its end, or end that process")
    with lease(book.store, book.lease_key, book.told, run, wait_s=LEASE_S + _GRACE_S,
               on_wait=_tell_of_holder) as held:
        yield held


@contextmanager
def _counted(workspace: Workspace, book: Book) -> Iterator[None]:
    """A loop that ended its process again and again in one step is not begun once more: what crashed is taken up by
    itself, and would be for ever."""
    with ExitStack() as stack:
        try:
            stack.enter_context(crashes_counted(workspace, book.key, "the loop", progress(workspace, book)))
        except CrashLoopError as error:
            announce(STOPPED, workspace.settings.dataset, round=str(len(book.rounds()) + 1),
                     problem=redacted(str(error)))
            raise
        yield


def _tell_of_holder(holder: Holder) -> None:
    emit(Event("waiting", f"{holder.told} may be at work; if it is dead, that shows within a minute"))


def _doers(workspace: Workspace) -> Doers:
    settings = workspace.settings

    def refreshed(round_name: str) -> DatasetVersion:
        state = refresh(settings, round_name, return_state=True)
        if state.name == AWAITS_APPROVAL:
            raise ApprovalNeededError(state.message or "the round waits for a person")
        version = state.result()
        assert isinstance(version, DatasetVersion)
        return version

    def retrained(version: DatasetVersion) -> Checkpoint:
        """What an event trained on the version meanwhile is taken, if it was trained from the line's student."""
        student, _ = current(settings, workspace.store)
        made = retrain(settings, version.version, again=False)
        return made if student.sha256 in made.parents else retrain(settings, version.version, again=True)

    def evaluated(checkpoint: Checkpoint, turn: int) -> Evaluated:
        return evaluate_task(settings, checkpoint, turn)

    return Doers(refreshed, retrained, evaluated)


def _teller(workspace: Workspace, book: Book) -> Callable[[int, Round | None], None]:
    """Says how rounds begin and end; the page has every round as soon as it is concluded."""

    def tell(number: int, done: Round | None) -> None:
        if done is None:
            told = f"{number}: refresh, retrain, evaluate, promote"
        elif done.promoted:
            told = f"{number}: promoted, number {done.concluded.promotion} of the line"
        else:
            told = f"{number}: the old student stays: {done.concluded.told}"
        get_run_logger().info("round %s", told)
        emit(Event("round", text=told))
        begun = book.begun()
        if done is not None and begun is not None:
            write_page(book, summarise(workspace.settings, begun, book.rounds(), f"round {number} is done"), None)

    return tell


def _concluded(workspace: Workspace, book: Book, begun: Begun, told: str) -> Ended:
    summary = summarise(workspace.settings, begun, book.rounds(), told)
    found = beside_task(workspace.settings, begun) if summary.promotions else None
    return Ended(summary, found, page_artifact(book, summary, found))
