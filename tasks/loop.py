"""What a loop does besides refreshing and training: measuring a new student, and the page of the loop."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact

from qstar_core.config import Settings
from qstar_core.loop.beside import Beside, beside
from qstar_core.loop.book import Book
from qstar_core.loop.judging import evaluated
from qstar_core.loop.page import write_page
from qstar_core.loop.records import Begun, Evaluated
from qstar_core.loop.summary import Summary
from qstar_core.records import Checkpoint
from qstar_core.stages.workspace import Workspace
from tasks.artifacts import key_of
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient


@task(name="evaluate student", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def evaluate_task(settings: Settings, checkpoint: Checkpoint, turn: int) -> Evaluated:
    """The new student beside the line's; scores are kept, so a retry asks nothing twice."""
    found = evaluated(settings, Workspace.open(settings).store, checkpoint, turn, tell_of_replies)
    told = f"{found.decision.outcome.value}: " + (found.decision.objections or "better, and nowhere worse")
    get_run_logger().info("%s", told)
    emit(Event("evaluate", text=told))
    create_table_artifact(
        key=key_of(settings.student.line.replace("_", "-"), "decision"), description=found.decision.outcome.value,
        table=[{"reason": reason.name, "passed": reason.passed, "found": reason.told}
               for reason in found.decision.reasons])
    return found


@task(name="compare first and last", retries=RETRIES, retry_delay_seconds=DELAYS_S,
      retry_condition_fn=retry_if_transient)
def beside_task(settings: Settings, begun: Begun) -> Beside | None:
    return beside(settings, Workspace.open(settings).store, begun)


def page_artifact(book: Book, summary: Summary, found: Beside | None) -> str:
    """The page is written, and linked on the server."""
    link = write_page(book, summary, found)
    create_link_artifact(key=key_of(book.line.replace("_", "-"), "loop"), link=link,
                         link_text=f"Loop {book.loop} of line {book.line}",
                         description=f"{len(summary.rounds)} rounds, {summary.promotions} promotions")
    return link


def tell_of_replies(name: str, done: int, total: int) -> None:
    emit(Event("evaluate", item=f"replies: {name}", done=done, total=total))
