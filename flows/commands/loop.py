"""`qstar loop`: the rounds of a line, by themselves, and what came of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.commands.run import run_flow
from flows.console import add_row, err, out, print_table
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings

if TYPE_CHECKING:
    from flows.loop import Ended
    from qstar_core.loop.beside import Solved
    from qstar_core.loop.summary import Summary


@click.command(cls=SettingsCommand)
@config_option
@click.option("--rounds", type=click.IntRange(min=1), default=None, help="Rounds at most [default: loop.rounds]")
@click.option("--name", default="1", show_default=True,
              help="Name of the loop; the same name goes on where it stopped, another begins from the line's student")
@setting_flags()
def loop(config_path: str | None, rounds: int | None, name: str) -> None:
    """Refresh, retrain, evaluate and promote, round after round; each begins from the student promoted last.

    Ends when `loop.rounds` are done, when `loop.patience` rounds in a row brought no significant gain, or when a budget
    is spent; with code 11 where no student was promoted. Run again after a kill, it goes on where it stopped.
    """
    flags = given_flags() | ({} if rounds is None else {"loop.rounds": rounds})
    settings = load_settings(find_config(config_path), os.environ, flags)
    err.print(f"qstar loop: line {settings.student.line}, loop {name}, at most {settings.loop.rounds} rounds",
              markup=False, highlight=False)
    ended, page = run_flow(lambda: _check(settings, name), _flow, settings, name)
    _tell(ended, page)


def _flow() -> Callable[..., Any]:
    from flows.loop import loop as flow

    return flow


def _check(settings: Settings, name: str) -> None:
    """What can be known to be wrong before anything runs."""
    from qstar_core.loop.book import Book
    from qstar_core.promotion.decide import check_figures
    from qstar_core.stages.planning import check_settings
    from qstar_core.stages.workspace import Workspace
    from qstar_core.training.hardware import hardware_for, portions_for

    check_settings(settings)
    check_figures(settings.promotion, settings.evaluation)
    if settings.training is not None:
        hardware_for(settings.training)
        portions_for(settings.training, settings.training.processes)
    Book(Workspace.open(settings).store, settings.student.line, name)


def _tell(ended: Ended, page: str) -> None:
    from qstar_core.loop.page import changed

    summary = ended.summary
    print_table(rounds_table(summary))
    out.print()
    if ended.found is not None:
        found = ended.found
        for name, change in found.changes.items():
            test = f", {found.test.statistic}, p = {found.test.p:.2g}" if name == found.target else ""
            out.print(f"{name}: {changed(change)}{test}", highlight=False, markup=False, soft_wrap=True)
        out.print()
        print_table(solved_table(ended.found.solved))
        out.print()
    lines = {"Ended": summary.told, "Page": ended.page, "Flow run": page}
    for name, value in lines.items():
        out.print(f"{name:<16} {value}", highlight=False, soft_wrap=True, markup=False)


def rounds_table(summary: Summary) -> Table:
    """One row a round: the line's student on the problems that never decide, and what the round cost."""
    from qstar_core.loop.page import shown
    from qstar_core.report.text import number

    target, *others = (name for name, _ in summary.sets)
    table = Table(box=None, title=f"{summary.figure} on problems that never decide", title_justify="left")
    for heading in ("round", "student", target, *others, "α", "KL to θ", "KL to t", "rows", "tokens", "s", "a point"):
        table.add_column(heading, justify="left" if heading in ("round", "student") else "right")
    for row in summary.rows:
        values = (row.measures.get(f"{name}/{summary.figure}") for name in others)
        rest = ("–" if one is None else f"{one.value:.3f}" for one in values)
        measures = (shown(row.measures[summary.target]), *rest)
        if row.round is None:
            add_row(table, str(row.number), "beginning", *measures)
            continue
        data, cost = row.round.refreshed, row.per_point(row.tokens)
        add_row(table, str(row.number), "promoted" if row.round.promoted else "kept", *measures, number(data.alpha),
                number(data.kl_theta), number(data.kl_t), f"{data.version.rows}", f"{data.tokens}",
                f"{row.seconds:.0f}", "–" if cost is None else f"{cost:.0f} tokens")
    return table


def solved_table(solved: Solved) -> Table:
    table = Table(box=None, show_header=False, title="one problem, three models", title_justify="left")
    for name, text in (("problem", solved.question), ("answer", solved.gold), ("old student", solved.before),
                       ("teacher", solved.teacher), ("new student", solved.after)):
        add_row(table, name, text)
    return table
