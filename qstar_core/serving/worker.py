"""The thread that samples: one engine at a time, for whatever mixing waits longest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from qstar_core.engine.headroom import Headroom
from qstar_core.errors import EngineError, QstarError
from qstar_core.serving.line import Line, Mixing, Turn

_log = logging.getLogger(__name__)


class Worker:
    """`engine_of` gives the engine of a mixing. An engine that fails fails the samples that it had; the next ones get
    an engine again."""

    def __init__(self, engine_of: Callable[[Mixing], Headroom], line: Line) -> None:
        self._engine_of = engine_of
        self._line = line
        self._turn: Turn | None = None
        self._thread = threading.Thread(target=self._run, name="qstar-serve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def in_flight(self) -> int:
        turn = self._turn
        return len(turn.open) if turn is not None else 0

    def close(self) -> None:
        """What waits is told so; what is in flight is cancelled at its next token."""
        stopped = EngineError("the server was stopped", "ask again when it is back")
        for ticket in self._line.close():
            ticket.tell(stopped)
        turn = self._turn
        for ticket in list(turn.open.values()) if turn is not None else ():
            ticket.cancelled = True
        self._thread.join()

    def _run(self) -> None:
        while (mixing := self._line.next_mixing()) is not None:
            self._turn = turn = Turn(self._line, mixing)
            try:
                with closing(self._engine_of(mixing).generate(turn)) as running:
                    for finished in running:
                        turn.finish(finished)
            except QstarError as error:
                _log.warning("%s", error)
                turn.fail(error)
            except Exception as error:  # noqa: BLE001 — whatever it is, those who wait are told
                _log.exception("the engine failed")
                turn.fail(EngineError(f"unexpected {type(error).__name__} in the engine", "its trace is in the log"))
