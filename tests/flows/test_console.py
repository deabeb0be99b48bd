"""Tables never cut a name, in a narrow terminal or in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from flows import console

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
