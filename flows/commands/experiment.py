"""`qstar experiment`: the studies of a spec, run where they have no result yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table

from flows.commands.options import config_option
from flows.commands.run import run_flow
from flows.console import add_row, err, out, print_table
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import IntegrityError
from qstar_core.plural import counted

if TYPE_CHECKING:
    from qstar_core.experiments.planning import Planned
    from qstar_core.experiments.spec import Spec


@click.command()
@click.argument("spec", metavar="SPEC")
@click.option("--jobs", type=click.IntRange(min=1), default=None,
              help="Processes of one thread that work side by side [default: the machine's cores]")
@click.option("--only", multiple=True, metavar="STUDY|STUDY/ARM", help="Only this study, or this arm of it; repeatable")
@click.option("--force", is_flag=True, help="Also run studies that the spec marks as not run here")
@click.option("--page", type=click.Path(file_okay=False, path_type=Path), default=None,
              help="Folder of EXPERIMENTS.md and its figures [default: experiments/NAME]; --only writes none")
@click.option("--dry-run", is_flag=True, help="Only tell what is done and what is to do")
@click.option("--again", type=click.IntRange(min=1), metavar="N", default=None,
              help="Run N of the finished cells afresh and tell whether they come out the same bit for bit")
@config_option
def experiment(spec: str, jobs: int | None, only: tuple[str, ...], force: bool, page: Path | None,
               dry_run: bool, again: int | None, config_path: str | None) -> None:
    """Run the studies of SPEC: a YAML file, or one of the packaged specs, such as smoke, mvp, quick and full.

    What has a result in the store is not run again, so a run that was stopped goes on where it was.
    At the end, the page of evidence is written from the results.
    """
    from qstar_core.experiments.spec import load_spec

    settings, wanted = load_settings(find_config(config_path), os.environ), load_spec(spec)
    err.print(f"qstar experiment: {wanted.name}, {wanted.title or counted(len(wanted.studies), 'study')}",
              markup=False, highlight=False, soft_wrap=True)
    if dry_run:
        _tell_plan(settings, wanted, only, force, jobs)
        return
    if again is not None:
        _again(settings, wanted, only, force, jobs, again)
        return
    folder = None if only else page or Path("experiments") / wanted.name
    done, run = run_flow(lambda: _try(settings, folder), _flow, settings, spec, only, jobs, force)
    told = {"Done": f"{done.pieces} pieces of work, {done.new} of them now", "Results": done.place, "Flow run": run}
    if folder is not None:
        typed = f"qstar experiment {spec}{' --force' if force else ''}"
        told["Page"] = str(_page(settings, wanted, typed, force, folder))
    for name, value in told.items():
        out.print(f"{name:<16} {value}", highlight=False, soft_wrap=True, markup=False)


def _try(settings: Settings, page: Path | None) -> None:
    """Hours later would be late to hear of it."""
    from qstar_core.experiments.trial import try_page, try_store
    from qstar_core.stages.workspace import Workspace

    try_store(Workspace.open(settings).store)
    if page is not None:
        try_page(page)


def _flow() -> Callable[..., Any]:
    from flows.experiment import experiment as flow

    return flow


def _page(settings: Settings, wanted: Spec, typed: str, force: bool, folder: Path) -> Path:
    from qstar_core.experiments.report_origin import origin_of
    from qstar_core.experiments.report_study import write_page
    from qstar_core.stages.workspace import Workspace

    origin = origin_of(wanted.title or f"Experiments: {wanted.name}", typed, wanted.name)
    return write_page(Workspace.open(settings).store, wanted, origin, force, folder)


def _again(settings: Settings, wanted: Spec, only: tuple[str, ...], force: bool, jobs: int | None, count: int) -> None:
    from qstar_core.experiments.again import again, drawn
    from qstar_core.experiments.planning import planned
    from qstar_core.stages.workspace import Workspace

    store = Workspace.open(settings).store
    plan = planned(store, wanted, only, force)
    works = drawn(plan, count)
    err.print(f"  running {len(works)} of {plan.done} finished pieces again", highlight=False)
    others = []
    for one in again(store, works, min(jobs or os.cpu_count() or 1, len(works))):
        told = "; ".join(one.differences) or "the same"
        out.print(f"{one.work.told}: {told}", highlight=False, soft_wrap=True, markup=False)
        if one.differences:
            others.append(one.work.told)
    if others:
        raise IntegrityError(f"{len(others)} of {len(works)} came out otherwise: {', '.join(others)}",
                             "on another machine or with other versions last digits differ; else remove those records "
                             "and run it again")
    out.print(f"{len(works)} of {len(works)} the same bit for bit", highlight=False)


def _tell_plan(settings: Settings, wanted: Spec, only: tuple[str, ...], force: bool, jobs: int | None) -> None:
    from qstar_core.experiments.planning import planned
    from qstar_core.stages.workspace import Workspace

    plan = planned(Workspace.open(settings).store, wanted, only, force)
    print_table(plan_table(plan))
    if plan.seconds is None:
        took = "how long is not known before the first one is done"
    else:
        side_by_side = jobs or os.cpu_count() or 1
        took = f"about {plan.seconds / 60 / side_by_side:.0f} minutes with --jobs {side_by_side}"
    out.print(f"{plan.done} done, {len(plan.left)} to do" + (f", {took}" if plan.left else ""), highlight=False,
              soft_wrap=True, markup=False)
    for study, reason in plan.skipped.items():
        out.print(f"{study}: not run here, {reason}", highlight=False, soft_wrap=True, markup=False)


def plan_table(plan: Planned) -> Table:
    """One row an arm of a study."""
    left = {work.place for work in plan.left}
    counts: dict[tuple[str, str], list[bool]] = {}
    for work in plan.works:
        counts.setdefault((work.study, work.arm or "–"), []).append(work.place not in left)
    table = Table(box=None)
    for heading in ("study", "arm", "done", "of"):
        table.add_column(heading, justify="right" if heading in ("done", "of") else "left")
    for (study, arm), done in counts.items():
        add_row(table, study, arm, str(sum(done)), str(len(done)))
    return table
