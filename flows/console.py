"""The terminal: one line a stage, a live bar while something takes long, everything on stderr but results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tasks.events import Event, Told, listening
from tasks.speed import Speed

_WIDE = 100_000
_LINE_S = 60.0
out = Console()
err = Console(stderr=True)


class RoundView:
    """Shows the events of a round as they come."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._clock = progress, clock
        self._bars: dict[str, TaskID] = {}
        self._speed = Speed()
        self._told_at = -_LINE_S

    def __call__(self, event: Told) -> None:
        if not isinstance(event, Event):
            return
        if event.text:
            self._end(event.stage)
            line = Text(f"  {event.stage:<9}", style="bold")
            line.append(event.text, style="not bold")
            self._progress.console.print(line, soft_wrap=True)
        elif event.stage == "generate":
            self._generate(event)
        elif event.stage == "experiment" and not self._progress.console.is_terminal:
            self._line(event)
        elif event.stage in ("train", "experiment"):  # one bar, whatever it tells
            self._advance(event.stage, event.item, event.done, event.total)
        else:
            self._advance(f"{event.stage} {event.item}", event.item, event.done, event.total)

    def _generate(self, event: Event) -> None:
        self._speed.add(event)
        self._advance("generate", f"q* {self._speed.told}", self._speed.done, event.total)

    def _advance(self, key: str, label: str, done: int, total: int) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(label, total=total)
        self._progress.update(self._bars[key], description=label, completed=done, total=total)

    def _line(self, event: Event) -> None:
        """Where nobody sees a bar: at once, and then one a minute."""
        now = self._clock()
        if now - self._told_at >= _LINE_S:
            self._told_at = now
            self._progress.console.print(f"  {event.stage:<9} {event.done} done, {event.item}", soft_wrap=True,
                                         markup=False, highlight=False)

    def _end(self, stage: str) -> None:
        for key in [key for key in self._bars if key.split()[0] == stage]:
            self._progress.remove_task(self._bars.pop(key))


def add_row(table: Table, *cells: str) -> None:
    """Cells are data: a bracket in them is no markup."""
    table.add_row(*map(Text, cells))


def print_table(table: Table) -> None:
    """No name is ever cut: a terminal folds a long one, a pipe gets lines as long as it takes."""
    for column in table.columns:
        column.overflow = "fold"
    if out.is_terminal:
        out.print(table)
    else:
        Console(file=out.file, width=_WIDE).print(table)


def told_time(created: str) -> str:
    """A time of a record to the minute, as a person writes it."""
    return created[:16].replace("T", " ")


@contextmanager
def round_view() -> Iterator[None]:
    """Listen to the round that runs inside of the block."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress, listening(RoundView(progress)):
        yield
