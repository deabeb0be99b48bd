"""A run says how far it is, also where nobody sees a bar."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from flows.console import RoundView
from qstar_core.experiments.planning import Planned
from qstar_core.experiments.work import Work
from tasks.events import Event
from tasks.experiment import told_left

WORKS = tuple(Work(study="main", kind="grid", label=str(number), shelf="cells", key=str(number), asked={})
              for number in range(12))


@pytest.mark.parametrize(("seconds", "made", "elapsed", "told"), [
    (None, 0, 0.0, "6 to do"), (None, 1, 60.0, "6 to do"), (None, 2, 60.0, "6 to do, about 3 min"),
    (1200.0, 0, 0.0, "6 to do, about 5 min"), (1200.0, 4, 600.0, "6 to do, about 15 min")])
def test_what_is_left_is_told_by_this_run_or_by_earlier_ones(seconds: float | None, made: int, elapsed: float,
                                                             told: str) -> None:
    assert told_left(Planned(WORKS, WORKS, {}, seconds), 2, 6, made, elapsed) == told


def shown(terminal: bool) -> list[str]:
    out, now = io.StringIO(), 0.0
    view = RoundView(Progress(console=Console(file=out, force_terminal=terminal), auto_refresh=False), lambda: now)
    for now in (0.0, 10.0, 59.0, 61.0, 119.0):
        view(Event("experiment", item=f"4 to do [at {now:.0f}]", done=3, total=7))
    return [line.strip() for line in out.getvalue().splitlines()]


def test_where_there_is_no_terminal_a_line_a_minute_is_printed() -> None:
    assert shown(False) == ["experiment 3 done, 4 to do [at 0]", "experiment 3 done, 4 to do [at 61]"]
    assert not [line for line in shown(True) if "experiment 3 done" in line]
