"""A loop whose process died or was told to end, read from the store alone. Nothing is changed here.

It shows by the lease of its line, which was not given back and whose holder is dead, or which was given back as
interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.loop.book import Book
from qstar_core.stages.workspace import Workspace
from qstar_core.store.leases import LEASE_S, Holder, holder_of, observed

_STEP = 10**9


@dataclass(frozen=True, slots=True)
class CrashedLoop:
    """`run` is the flow run that left it; `round` is the one that it was in."""

    book: Book
    round: int
    run: str

    def owns(self, round_name: str) -> bool:
        """Whether a round of the dataset is this loop's."""
        return round_name == self.book.round_name(self.round)


def crashed_loop(workspace: Workspace, patience_s: float = LEASE_S) -> CrashedLoop | None:
    """That of the settings' line; a holder on another machine is watched for so many seconds."""
    line = workspace.settings.student.line
    key = Book(workspace.store, line, "1").lease_key

    def look() -> dict[str, Holder]:
        holder = holder_of(workspace.store, key)
        return {} if holder is None else {line: holder}

    holders, dead = observed(look, patience_s)
    if not dead:
        return None
    book = Book.named(workspace.store, line, holders[line].name)
    return CrashedLoop(book, len(book.rounds()) + 1, holders[line].run)


def progress(workspace: Workspace, book: Book) -> int:
    """Grows with every step that is done, and with every shard of the round that the loop is in."""
    steps = book.steps
    folder = f"{workspace.round_key(book.round_name(len(book.rounds()) + 1))}/"
    return _STEP * steps + sum("/ledger/" in info.key for info in book.store.list(folder))
