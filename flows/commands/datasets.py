"""`qstar datasets`: the published versions of a dataset, what differs between two, and the way back."""

from __future__ import annotations

import rich_click as click
from rich.markup import escape
from rich.table import Table

from flows.commands.keeping import prune, pull, verify
from flows.commands.located import dataset_option, found_version, latest_name, open_versions, open_workspace
from flows.commands.options import config_option
from flows.console import add_row, err, out, print_table, told_time
from qstar_core.errors import IntegrityError, NotFoundError
from qstar_core.plural import counted
from qstar_core.records import Manifest
from qstar_core.selection.shares import shortfalls
from qstar_core.stages.difference import Difference, difference
from qstar_core.stages.workspace import Workspace
from qstar_core.store.finding import LATEST
from qstar_core.store.versions import Versions, dataset_names


@click.group()
def datasets() -> None:
    """Dataset versions: list, show, compare, verify, pull and prune them; approve one, or go back to an older one."""


for command in (verify, prune, pull):
    datasets.add_command(command)


@datasets.command("list")
@config_option
@dataset_option
@click.option("--names", is_flag=True, help="Print the names of the versions only, one a line")
@click.option("--staged", "only_staged", is_flag=True, help="What is not published instead, and why")
def list_versions(config_path: str | None, dataset: str | None, names: bool, only_staged: bool) -> None:
    """All versions, newest first; * marks the latest."""
    workspace = open_workspace(config_path)
    if only_staged:
        from qstar_core.stages.staging import staged_datasets

        _list_staged(workspace, (dataset,) if dataset else staged_datasets(workspace), names)
        return
    known = dataset_names(workspace.store)
    if names:
        dataset = dataset or workspace.settings.dataset
    if dataset is not None and dataset not in known:
        raise NotFoundError(f"dataset {dataset} has no version",
                            f"datasets with versions: {', '.join(known) or 'none yet; `qstar demo` makes the first'}")
    found = [(manifest, mark) for name in ([dataset] if dataset else known)
             for manifest, mark in _newest_first(Versions(workspace.store, name))]
    if names:
        for manifest, _ in found:
            out.print(manifest.version, highlight=False)
    elif not found:
        out.print("no versions yet: `qstar demo` makes the first")
    else:
        print_table(_versions_table(found))


def _list_staged(workspace: Workspace, known: tuple[str, ...], names: bool) -> None:
    from qstar_core.stages.staging import StagedVersions

    found = [(waiting, name) for waiting in (StagedVersions(workspace, dataset) for dataset in known)
             for name in waiting.names()]
    if not found and not names:
        out.print("nothing is staged")
    for waiting, name in found:
        told = name if names else waiting.why(name)
        out.print(told, highlight=False, soft_wrap=True, markup=False)


def _newest_first(versions: Versions) -> list[tuple[Manifest, str]]:
    """Every manifest, and a * for the latest."""
    latest = versions.latest()
    manifests = []
    for name in versions.names():
        try:
            manifests.append(versions.manifest(name))
        except IntegrityError as error:
            err.print(f"qstar: {error}", style="yellow", markup=False, soft_wrap=True, highlight=False)
    manifests.sort(key=lambda manifest: manifest.created, reverse=True)
    return [(manifest, "*" if latest and latest.version == manifest.version else "") for manifest in manifests]


def _versions_table(found: list[tuple[Manifest, str]]) -> Table:
    table = Table("", "dataset", "version", "rows", "gate", "tokens/s", "created", box=None)
    for manifest, mark in found:
        add_row(table, mark, manifest.dataset, manifest.version, str(manifest.rows), manifest.gate.verdict.value,
                      f"{manifest.speed.get('tokens_per_second', 0):,.0f}", told_time(manifest.created))
    return table


@datasets.command()
@click.argument("version", default=LATEST)
@config_option
@dataset_option
def show(version: str, config_path: str | None, dataset: str | None) -> None:
    """One version in full, published or staged: gate, funnel, models, files. Without a name, the latest."""
    workspace = open_workspace(config_path)
    workspace, versions, name = found_version(workspace, dataset or workspace.settings.dataset, version)
    manifest = versions.manifest(name)
    out.print(f"[bold]{escape(f'{manifest.dataset} {manifest.version}')}[/bold]  {counted(manifest.rows, 'row')}, gate "
              f"{manifest.gate.verdict.value}, created {manifest.created}", soft_wrap=True)
    from qstar_core.stages.staging import StagedVersions

    if isinstance(versions, StagedVersions):
        out.print(f"staged, not published: {versions.why(name)}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"at {workspace.store.locate(versions.key(name))}", highlight=False, soft_wrap=True, markup=False)
    replayed = [f"{count} of its rows come from {name}" for name, count in manifest.replay.items()]
    for told in (*replayed, *shortfalls(manifest.shares)):
        out.print(told, highlight=False, soft_wrap=True, markup=False)
    for table in (_gate(manifest), _funnel(manifest), _models(manifest), _files(manifest)):
        out.print()
        print_table(table)


@datasets.command()
@click.argument("old")
@click.argument("new", required=False)
@config_option
@dataset_option
def diff(old: str, new: str | None, config_path: str | None, dataset: str | None) -> None:
    """What changed from one version to another (the latest, unless named): rows, funnel, statistics, settings."""
    workspace, versions = open_versions(config_path, dataset)
    found: Difference = difference(workspace, versions, old, new or latest_name(versions))
    table = Table("", found.old, found.new, box=None, title=f"{versions.dataset}: {found.old} → {found.new}")
    for line in found.lines:
        add_row(table, line.name, line.old, line.new)
    print_table(table)


@datasets.command()
@click.argument("version")
@config_option
@dataset_option
def rollback(version: str, config_path: str | None, dataset: str | None) -> None:
    """Make an older version the latest again. Nothing is deleted."""
    _, versions = open_versions(config_path, dataset)
    before = versions.latest()
    versions.rollback(version)
    out.print(f"latest of {versions.dataset}: {before.version if before else 'none'} → {version}", highlight=False)


@datasets.command()
@click.argument("version")
@click.option("--by", required=True, help="Who approves; kept in the manifest")
@click.option("--comment", default="", help="Why; kept in the manifest")
@config_option
@dataset_option
def approve(version: str, by: str, comment: str, config_path: str | None, dataset: str | None) -> None:
    """Let a staged version with warnings pass, and publish it. What the gate refused cannot be approved."""
    from qstar_core.stages.approving import approve as set_approval
    from qstar_core.stages.approving import staged_plan
    from qstar_core.stages.publishing import publish

    workspace, versions = open_versions(config_path, dataset)
    if versions.exists(version):
        out.print(f"{versions.dataset} {version} is published already", highlight=False)
        return
    plan = staged_plan(workspace, versions.dataset, version)
    given = set_approval(workspace, plan, by, comment)
    found = publish(workspace, plan)
    out.print(f"{found.dataset} {found.version}, {counted(found.rows, 'row')}, approved by {given.by}: {found.uri}",
              highlight=False, soft_wrap=True, markup=False)


def _gate(manifest: Manifest) -> Table:
    table = Table("check", "verdict", "value", "95 % interval", "allowed", box=None)
    for check in manifest.gate.checks:
        interval = "" if check.interval is None else "{:.4g} to {:.4g}".format(*check.interval)
        add_row(table, check.name, check.verdict.value, "–" if check.value is None else f"{check.value:.4g}", interval,
                      check.allowed)
    return table


def _funnel(manifest: Manifest) -> Table:
    table = Table("stage", "entered", "kept", "dropped", box=None)
    for step in manifest.funnel:
        add_row(table, step.stage, str(step.entered), str(step.kept), step.told)
    return table


def _models(manifest: Manifest) -> Table:
    table = Table("role", "model", "sha256", box=None)
    for role, ref in manifest.models.items():
        add_row(table, role, ref.name, ref.sha256[:16])
    return table


def _files(manifest: Manifest) -> Table:
    table = Table("file", "rows", "bytes", "sha256", box=None)
    for ref in manifest.files:
        name = ref.key.split("/", 4)[-1]
        add_row(table, name, "" if ref.rows is None else str(ref.rows), f"{ref.bytes:,}", ref.sha256[:16])
    return table
