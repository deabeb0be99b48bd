"""The loop: rounds of refresh → retrain → evaluate → promote or keep, until the settings or an error end it.

The machine only asks which step has no record yet and keeps what the step gives; who does the steps is the caller's:
flows in one process, plain functions in tests. A step may be cut off anywhere and is done again, so each must find
what an earlier attempt of its own finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from qstar_core.config import Settings
from qstar_core.loop.book import Book, check_same, identity
from qstar_core.loop.ending import ending
from qstar_core.loop.figures import refreshed
from qstar_core.loop.judging import concluded, final_score
from qstar_core.loop.records import Begun, Concluded, Evaluated, Refreshed, Retrained, Round
from qstar_core.loop.students import current
from qstar_core.records import Checkpoint, DatasetVersion
from qstar_core.stages.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Doers:
    """Who does the work: a round's name → a published version; a version → a checkpoint, trained from the line's
    student; a checkpoint and the turn of the held-out problems → both students' measures."""

    refresh: Callable[[str], DatasetVersion]
    retrain: Callable[[DatasetVersion], Checkpoint]
    evaluate: Callable[[Checkpoint, int], Evaluated]


@dataclass(frozen=True, slots=True)
class Loop:
    """`settings` follow the line (see `following`). `check` is asked between two steps and raises where the loop must
    not go on; `on_round` hears of a round when it begins (None) and when it is concluded."""

    workspace: Workspace
    book: Book
    doers: Doers
    check: Callable[[], None]
    on_round: Callable[[int, Round | None], None]

    @property
    def settings(self) -> Settings:
        return self.workspace.settings

    def begin(self) -> Begun:
        """How the loop began; found, if it did before."""
        begun = self.book.begun()
        if begun is None:
            model, first = current(self.settings, self.book.store)
            score = final_score(self.settings, self.book.store, model)
            self.book.begin(Begun(
                line=self.book.line, loop=self.book.loop, identity=identity(self.settings),
                settings=self.settings.model_dump(mode="json"), turns=self.book.turns(), first=first,
                final=score.measures, created=datetime.now(UTC).isoformat(timespec="seconds")))
            begun = self.book.begun()
            assert begun is not None
        check_same(begun, self.settings)
        return begun

    def run(self, begun: Begun) -> str:
        """Why it ended."""
        while True:
            rounds = self.book.rounds()
            told = ending(rounds, self.settings.loop)
            if told is not None:
                return told
            number = len(rounds) + 1
            self.on_round(number, None)
            self._round(begun, number)
            self.on_round(number, self.book.rounds()[-1])

    def _round(self, begun: Begun, number: int) -> None:
        book, line = self.book, self.book.line
        data = book.step(number, Refreshed) or book.keep(number, self._refreshed(number))
        self.check()
        made = book.step(number, Retrained) or book.keep(number, self._retrained(data))
        self.check()
        found = book.step(number, Evaluated) or book.keep(number, self.doers.evaluate(
            made.checkpoint, begun.turns + number))
        self.check()
        if book.step(number, Concluded) is None:
            book.keep(number, concluded(book.store, line, made.checkpoint, found.decision))

    def _refreshed(self, number: int) -> Refreshed:
        since, name = time.monotonic(), self.book.round_name(number)
        version = self.doers.refresh(name)
        return refreshed(self.workspace, name, version, time.monotonic() - since)

    def _retrained(self, data: Refreshed) -> Retrained:
        since = time.monotonic()
        checkpoint = self.doers.retrain(data.version)
        return Retrained(checkpoint=checkpoint, seconds=time.monotonic() - since)
