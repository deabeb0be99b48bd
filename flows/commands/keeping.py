"""`qstar datasets verify`, `prune` and `pull`: is a version whole, what may go, and a copy of one on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.table import Table

from flows.commands.located import dataset_option, found_version, open_versions, open_workspace
from flows.commands.options import config_option
from flows.console import add_row, err, out, print_table
from qstar_core.errors import IntegrityError, NotFoundError, StoreError, UnavailableError
from qstar_core.plural import counted
from qstar_core.stages.needed import ALL
from qstar_core.stages.pruning import PrunePlan, Rule, plan_prune
from qstar_core.stages.pruning import prune as remove
from qstar_core.stages.pulling import pull as fetch
from qstar_core.stages.verifying import Verified
from qstar_core.stages.verifying import verify as check
from qstar_core.stages.workspace import Workspace
from qstar_core.store.finding import LATEST
from qstar_core.store.versions import VersionReader, Versions, dataset_names


@click.command()
@click.argument("version", default=LATEST)
@click.option("--all", "every", is_flag=True, help="Every version: of --dataset, or of all datasets of the store")
@config_option
@dataset_option
def verify(version: str, every: bool, config_path: str | None, dataset: str | None) -> None:
    """Hash every file of a version anew, count its rows, and name what is wrong. Without a name, the latest."""
    workspace, versions = open_versions(config_path, dataset)
    if every:
        names = (dataset,) if dataset else dataset_names(workspace.store)
        todo: list[tuple[Workspace, VersionReader, str]] = [
            (workspace, known, name) for known in (Versions(workspace.store, name) for name in names)
            for name in known.names()]
    else:
        todo = [found_version(workspace, versions.dataset, version)]
    bad = [f"{known.dataset} {name}" for space, known, name in todo if not _verified(space, known, name)]
    if bad:
        raise IntegrityError(f"{len(bad)} of {counted(len(todo), 'version')} failed: {', '.join(bad)}",
                             "make a whole one latest with `qstar datasets rollback`")
    if not todo:
        raise NotFoundError("there is no version to verify", "run `qstar demo`, or name a dataset")


def _verified(workspace: Workspace, versions: VersionReader, version: str) -> bool:
    try:
        with _bytes_bar(f"{versions.dataset} {version}") as on_bytes:
            found: Verified = check(workspace, versions, version, on_bytes)
    except UnavailableError:
        raise
    except StoreError as error:
        _say(f"{versions.dataset} {version}: {error}")
        return False
    for fault in found.faults:
        _say(f"{versions.dataset} {version}: {fault.file}: {fault.problem}")
    if not found.faults:
        _say(f"{versions.dataset} {version}: {counted(found.files, 'file')}, {decimal(found.bytes)}, all as recorded")
    return not found.faults


@click.command()
@click.argument("version", default=LATEST)
@click.option("--out", "folder", type=click.Path(path_type=Path), default=None,
              help="An empty folder, or one of a begun pull [default: VERSION]")
@config_option
@dataset_option
def pull(version: str, folder: Path | None, config_path: str | None, dataset: str | None) -> None:
    """Copy a version, published or staged, to a folder: its name, `latest`, or its address. Goes on where it ended."""
    workspace, versions = open_versions(config_path, dataset)
    space, known, name = found_version(workspace, versions.dataset, version)
    with _bytes_bar(f"{known.dataset} {name}") as on_bytes:
        found = fetch(space.store, known, name, (folder or Path(name)).absolute(),
                      workspace.settings.store.s3.max_concurrency, on_bytes)
    there = f", {found.there} of them were there" if found.there else ""
    _say(f"{known.dataset} {name}: {counted(found.files, 'file')}{there}, {decimal(found.bytes)}, hashes compared: "
         f"{found.folder}")


@click.command()
@click.option("--keep", type=click.IntRange(min=0), default=None, metavar="N", help="Keep the N newest versions")
@click.option("--older-than", type=click.FloatRange(min=0), default=None, metavar="DAYS",
              help="Keep versions that are not older; with --keep, both")
@click.option("--staged-older-than", type=click.FloatRange(min=0), default=30.0, metavar="DAYS", show_default=True,
              help="Staged rounds that nothing has touched for so long are abandoned")
@click.option("--generations", type=click.IntRange(min=0), default=None, metavar="N",
              help="How many generations of parents of what stays must stay too [default: all]")
@click.option("--yes", is_flag=True, help="Do it; without, only told")
@config_option
@dataset_option
def prune(keep: int | None, older_than: float | None, staged_older_than: float, generations: int | None, yes: bool,
          config_path: str | None, dataset: str | None) -> None:
    """Remove old versions that nothing needs, abandoned staged rounds and leftovers. Tells only, unless --yes."""
    workspace = open_workspace(config_path)
    rule = Rule(keep, older_than, staged_older_than, ALL if generations is None else generations)
    plan = plan_prune(workspace, dataset or workspace.settings.dataset, rule)
    print_table(_plan_table(plan))
    for version, why in plan.kept.items():
        _say(f"stays: {version}, because {why}")
    if not yes:
        _say(f"would remove {len(plan.removals)} ({decimal(sum(removal.bytes for removal in plan.removals))}) and "
             f"{counted(plan.folders, 'empty folder')}; nothing was removed: add --yes")
        return
    done = remove(workspace, plan)
    for spared in done.spared:
        _say(f"spared: {spared.kind.value} {spared.name}, which came into use meanwhile")
    _say(f"removed {len(done.removed)} ({decimal(sum(removal.bytes for removal in done.removed))}) and "
         f"{counted(done.folders, 'empty folder')}")


def _plan_table(plan: PrunePlan) -> Table:
    table = Table(plan.dataset, "what", "files", "size", "because", box=None)
    for removal in plan.removals:
        add_row(table, removal.name, removal.kind.value, str(len(removal.files)), decimal(removal.bytes), removal.why)
    return table


def _say(line: str) -> None:
    out.print(line, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def _bytes_bar(told: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("  {task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(told, total=None)

        def on_bytes(count: int, total: int) -> None:
            progress.update(task, total=total, advance=count)

        yield on_bytes
