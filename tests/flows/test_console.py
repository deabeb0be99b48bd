"""Tables never cut a name, in a narrow terminal or in a pipe; the live view tells what the server's page tells."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from flows import console
from tasks import speed
from tasks.events import Event, ShardDone

LONG = "2026-11-20-" + "a1b2c3d4" * 15


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_name_is_whole(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=written, force_terminal=terminal, width=40, color_system=None))
    table = Table("version", "name", box=None)
    console.add_row(table, LONG, "x")
    console.print_table(table)
    lines = written.getvalue().splitlines()
    assert "".join(line.split()[0] for line in lines[1:]) == LONG
    assert terminal == (len(lines) > 2) and "…" not in written.getvalue()
    assert all(len(line) <= 40 for line in lines) or not terminal


def test_a_time_is_told_to_the_minute() -> None:
    assert console.told_time("2026-11-20T12:27:31+00:00") == "2026-11-20 12:27"


def test_the_live_view_shows_the_numbers_of_the_page_and_lines_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=iter((10.0, 20.0)).__next__))
    written = io.StringIO()
    shown = Progress(console=Console(file=written, width=120))
    view = console.RoundView(shown)
    for event in (Event("generate", done=20, total=100), Event("generate", done=10, total=100, tokens=100)):
        view(event)
    view(Event("generate", done=10, total=100, tokens=200))
    (bar,) = shown.tasks
    assert (bar.completed, bar.total) == (40, 100)
    assert bar.description == "q* 40 of 100 samples, 20 tokens/s, 1 min left"
    view(ShardDone(0, 1.0))
    view(Event("generate", text="300 tokens [bold]in all[/bold]"))
    assert not shown.tasks, "a stage that has ended has no bar"
    assert "generate 300 tokens [bold]in all[/bold]" in written.getvalue(), "what is told is no markup"
