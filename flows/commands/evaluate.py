"""`qstar evaluate`: a checkpoint on held-out problems, alone or beside another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out, print_table
from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.stages.workspace import Workspace, today

if TYPE_CHECKING:
    from qstar_core.evaluation.score import Measure, Score
    from qstar_core.evaluation.suite import Suite


@click.command(cls=SettingsCommand)
@config_option
@click.option("--model", default=None, help="Checkpoint: its id in the line, a folder, a hub id, builtin:NAME, or "
                                            "latest [default: student.model]")
@click.option("--against", default=None, help="A second checkpoint, beside which the first is shown")
@click.option("--suite", "kind", type=click.Choice(["rotating", "final"]), default="rotating", show_default=True,
              help="rotating: the problems of a round. final: those that never decide")
@click.option("--round", "round_name", default=None, help="Round of the rotating suite [default: today's date]")
@setting_flags()
def evaluate(config_path: str | None, model: str | None, against: str | None, kind: str,
             round_name: str | None) -> None:
    """Measure a checkpoint on held-out problems: accuracy, pass@k, perplexity, length and more, with intervals.

    Scores are kept in the store; the same checkpoint is never evaluated twice on the same suite.
    """
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    store = Workspace.open(settings).store
    with err.status("loading"):
        from qstar_core.evaluation.evaluate import evaluate as score_of
        from qstar_core.evaluation.suite import final_suite, rotating_suite
        from qstar_core.promotion.candidates import candidate

        models = [candidate(settings, store, name)[0] for name in (model or settings.student.model, against) if name]
        suite = (final_suite(settings, store) if kind == "final"
                 else rotating_suite(settings, store, settings.student.line, round_name or today()))
    with evaluation_view() as show:
        scores = [score_of(settings, store, ref, suite, show) for ref in models]
    out.print(f"suite {suite.hash[:16]}, {told_problems(suite)}", highlight=False, soft_wrap=True, markup=False)
    print_table(score_table(scores, settings.evaluation.confidence))


@contextmanager
def evaluation_view() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for the replies of each set."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("replies", total=None)
        yield lambda name, done, total: progress.update(bar, description=f"replies: {name}", completed=done,
                                                        total=total)


def told_problems(suite: Suite) -> str:
    """How many problems of each set, of how many; said where a set is too small to rotate."""
    told = []
    for one in suite.sets:
        small = not suite.final and one.pool < 2 * len(one.prompts)
        told.append(f"{one.name}: {len(one.prompts)} of {one.pool} problems"
                    + (", the same ones every round" if small else ""))
    return "; ".join(told)


def score_table(scores: list[Score], confidence: float) -> Table:
    headings = [escape(f"{_model(score.model)} {score.sha256[:8]}") for score in scores]
    table = Table("measure", *headings, "problems", "interval by", box=None,
                  title=f"value [{confidence:.0%} interval]", title_justify="left")
    found = [{measure.name: measure for measure in score.measures} for score in scores]
    for name in dict.fromkeys(name for measures in found for name in measures):
        of_name = [measures.get(name) for measures in found]
        known = next(measure for measure in of_name if measure is not None)
        table.add_row(escape(name), *map(_shown, of_name), str(known.n), known.method)
    return table


def _model(name: str) -> str:
    """A checkpoint of the store by its id, a folder by its own name; its hash stands beside it."""
    return name.rstrip("/").rpartition("/")[2] if name.startswith(("/", "checkpoints/")) else name


def _shown(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    if measure.low is None or measure.high is None:
        return f"{measure.value:.4g}"
    return f"{measure.value:.4g} \\[{measure.low:.3g}, {measure.high:.3g}]"
