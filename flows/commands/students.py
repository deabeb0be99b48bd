"""`qstar students`: the promoted student of each line, how it came to be, and its replacement."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.table import Table

from flows.commands.evaluate import evaluation_view, score_table, told_problems
from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out, print_table, told_time
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import ConfigError, NotFoundError
from qstar_core.plural import counted
from qstar_core.records import Checkpoint
from qstar_core.stages.workspace import Workspace, today

if TYPE_CHECKING:
    from qstar_core.promotion.compare import Comparison
    from qstar_core.promotion.decision import Decision
    from qstar_core.promotion.history import Promotion
    from qstar_core.store.objects import ObjectStore

line_option = click.option("--line", default=None, help="Line of students [default: student.line]")


@click.group()
def students() -> None:
    """List and show promoted students, promote a better one, or go back to an earlier one."""


@students.command("list")
@config_option
@click.option("--line", default=None, help="Only this line of students [default: all]")
def list_lines(config_path: str | None, line: str | None) -> None:
    """Every line and the student that its pointer holds."""
    from qstar_core.promotion.history import history, lines, pointer

    store, _ = _opened(config_path, None)
    found = [one for one in lines(store) if line in (None, one)]
    if not found:
        out.print("no students yet: `qstar students promote` makes the first")
        return
    table = Table("line", "student", "sha256", "promotions", "since", box=None)
    for one in found:
        past = history(store, one)
        current, _ = pointer(store, one)
        table.add_row(one, escape(_name(current)), "" if current is None else current.sha256[:16], str(len(past)),
                      told_time(past[-1].created) if past else "")
    print_table(table)


@students.command()
@config_option
@line_option
def show(config_path: str | None, line: str | None) -> None:
    """The history of one line, and why its last student was promoted."""
    from qstar_core.promotion.history import history, pointer

    store, name = _opened(config_path, line)
    past = history(store, name)
    current, _ = pointer(store, name)
    if current is None and not past:
        raise NotFoundError(f"line {name} has no student yet", "`qstar students promote` makes the first")
    out.print(f"line {name}: {_name(current)}", highlight=False, soft_wrap=True, markup=False)
    if past and current != past[-1].checkpoint:
        out.print("The pointer does not hold the last student of the history: it was set by hand, or a promotion was "
                  "cut off, which the next one completes.", style="yellow")
    print_table(_history(past))
    decided = next((one.decision for one in reversed(past) if one.decision is not None), None)
    if decided is not None:
        out.print()
        print_table(_reasons(decided))


@students.command(cls=SettingsCommand)
@click.argument("model")
@config_option
@line_option
@click.option("--round", "round_name", default=None, help="Round whose problems decide [default: today's date]")
@click.option("--force", is_flag=True, help="Promote it against the decision; needs --reason")
@click.option("--reason", default=None, help="Why; kept in the history")
@setting_flags()
def promote(model: str, config_path: str | None, line: str | None, round_name: str | None, force: bool,
            reason: str | None) -> None:
    """Compare MODEL with the line's student, and promote it only if it is better and nowhere worse.

    MODEL is a checkpoint's id in the line, a folder, a hub id, or builtin:NAME. Before the first promotion it is
    compared with student.initial, or else student.model. Ends with code 11 where the old student stays.
    """
    if force != (reason is not None):
        raise ConfigError("--force and --reason go together", "give both, or neither")
    settings = _of_line(config_path, line, model)
    store = Workspace.open(settings).store
    with err.status("loading"):
        from qstar_core.promotion.candidates import candidate, standing
        from qstar_core.promotion.compare import compare
        from qstar_core.promotion.promote import promote as move

        new, checkpoint = candidate(settings, store, model)
        old = standing(settings, store, new)
    with evaluation_view() as view:
        found = compare(settings, store, old, new, round_name or today(), on_progress=view)
    _tell(found, settings.evaluation.confidence)
    made = move(store, settings.student.line, checkpoint, found.decision, reason)
    out.print(f"line {made.line}: promotion {made.number} ({made.move.value}) → {_name(made.checkpoint)}",
              highlight=False, soft_wrap=True, markup=False)


@students.command()
@click.argument("number", type=int)
@config_option
@line_option
@click.option("--reason", default="", help="Why; kept in the history")
def rollback(number: int, config_path: str | None, line: str | None, reason: str) -> None:
    """Make the student of promotion NUMBER the line's again. Nothing is deleted."""
    from qstar_core.promotion.promote import rollback as go_back

    store, name = _opened(config_path, line)
    made = go_back(store, name, number, reason)
    out.print(f"line {name}: {_name(made.before)} → {_name(made.checkpoint)}", highlight=False, soft_wrap=True,
              markup=False)


def _of_line(config_path: str | None, line: str | None, model: str) -> Settings:
    """The settings, with the line that the folder of a checkpoint names where they leave it open."""
    from qstar_core.promotion.candidates import line_of

    flags = given_flags()
    if line is not None and flags.setdefault("student.line", line) != line:
        raise ConfigError(f"--line {line} and --student.line {flags['student.line']} differ", "give one of them")
    settings = load_settings(find_config(config_path), os.environ, flags)
    given = settings.student.line
    wanted = line_of(model, given, "student.line" in flags or given != Settings().student.line)
    if wanted == given:
        return settings
    err.print(f"line {wanted}, as {model} is a checkpoint of it", highlight=False, soft_wrap=True, markup=False)
    return settings.model_copy(update={"student": settings.student.model_copy(update={"line": wanted})})


def _opened(config_path: str | None, line: str | None) -> tuple[ObjectStore, str]:
    settings = load_settings(find_config(config_path), os.environ)
    return Workspace.open(settings).store, line or settings.student.line


def _name(checkpoint: Checkpoint | None) -> str:
    """A checkpoint of the line by its id, another model by where it lies."""
    return "none" if checkpoint is None else checkpoint.id or checkpoint.uri


def _tell(found: Comparison, confidence: float) -> None:
    out.print(f"suite {found.suite.hash[:16]}, {told_problems(found.suite)}", highlight=False, soft_wrap=True,
              markup=False)
    print_table(score_table([score for score in (found.old, found.new) if score is not None], confidence))
    if found.win_rate is not None:
        plain, controlled, errors = found.win_rate
        for measure in (plain, controlled):
            out.print(f"{measure.name}: {measure.value:.3g}, {measure.low:.3g} to {measure.high:.3g}", highlight=False)
        if errors:
            out.print(f"the judge named no winner in {counted(errors, 'comparison')}", style="yellow")
    out.print()
    print_table(_reasons(found.decision))


def _history(past: tuple[Promotion, ...]) -> Table:
    table = Table("", "move", "student", "sha256", "created", "reason", box=None)
    for one in past:
        told = one.reason or (f"back to {one.restores}" if one.restores else "")
        table.add_row(str(one.number), one.move.value, escape(_name(one.checkpoint)), one.checkpoint.sha256[:16],
                      told_time(one.created), escape(told))
    return table


def _reasons(decision: Decision) -> Table:
    table = Table("", "reason", "found", box=None, title=f"decision: {decision.outcome.value}", title_justify="left")
    for reason in decision.reasons:
        table.add_row("✓" if reason.passed else "✗", escape(reason.name), escape(reason.told))
    return table
