"""The hard limit of a shard: a process that finished nothing for so long ends itself, whatever it hangs in, and counts
as crashed. The watch is faulthandler's own thread, which needs neither the interpreter nor its lock.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qstar_core.home import subfolder

TRACES = "stuck.txt"


@contextmanager
def never_stuck(minutes: float | None) -> Iterator[Callable[[], None]]:
    """Call what it gives whenever something is finished. Where the process was when it ended stands in the logs. None:
    no limit."""
    if minutes is None:
        yield lambda: None
        return
    with (subfolder("logs") / TRACES).open("a", encoding="utf-8") as traces:

        def alive() -> None:
            faulthandler.dump_traceback_later(60 * minutes, exit=True, file=traces)

        alive()
        try:
            yield alive
        finally:
            faulthandler.cancel_dump_traceback_later()
