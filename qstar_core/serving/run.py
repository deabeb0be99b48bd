"""One request on its way: its samples wait in the line, and what happens to them comes back to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from qstar_core.engine.protocol import Finished
from qstar_core.errors import EngineError, QstarError
from qstar_core.records import FinishReason
from qstar_core.serving.asking import Asked
from qstar_core.serving.line import Heard, Line, Ticket


class Run:
    """Made in the event loop that reads it."""

    def __init__(self, name: str, asked: Asked) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Heard]] = asyncio.Queue()
        places = [(pair, draw) for pair in asked.pairs for draw in range(asked.draws)]
        self._tickets = [
            Ticket(f"{name}/{index}", pair, draw, asked.seed, asked.max_tokens, asked.mixing,
                   partial(self._tell, index))
            for index, (pair, draw) in enumerate(places)]

    def begin(self, line: Line) -> None:
        line.join(self._tickets)

    async def events(self) -> AsyncIterator[tuple[int, int | Finished]]:
        """The index of a choice, and its next token or its end. QstarError where a sample fails."""
        left = len(self._tickets)
        while left:
            index, heard = await self._events.get()
            if isinstance(heard, QstarError):
                raise heard
            if isinstance(heard, Finished):
                if heard.sample.finish_reason is FinishReason.ERROR:
                    raise EngineError(f"a sample failed: {heard.sample.error}")
                left -= 1
            yield index, heard

    def cancel(self) -> None:
        """Nothing happens to samples that are finished."""
        for ticket in self._tickets:
            ticket.cancelled = True

    def _tell(self, index: int, heard: Heard) -> None:
        """From the thread that samples. A loop that is closed has nobody who listens."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, (index, heard))
