"""`qstar status`: how the nights go, in one screen."""

from __future__ import annotations

import os
from datetime import datetime
from zoneinfo import ZoneInfo

import rich_click as click
from rich.markup import escape
from rich.table import Table

from flows.commands.options import config_option
from flows.console import print_table
from flows.packaged import find_config
from flows.serve import ensure_server, running_server
from flows.workers import running_workers, store_of
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.plural import counted
from qstar_core.stages.workspace import Workspace
from qstar_core.store.versions import Versions

_LONGEST = 90


@click.command()
@config_option
@click.option("--dataset", default=None, help="Name of the dataset [default: the one of the settings]")
def status(config_path: str | None, dataset: str | None) -> None:
    """Server, workers, the last runs, the next one, the latest version and its gate, and what was left undone."""
    settings = load_settings(find_config(config_path), os.environ, {"dataset": dataset} if dataset else {})
    table = Table(box=None, show_header=False)
    for name, told in (*_server(settings), *_version(settings), *_undone(settings)):
        table.add_row(name, escape(told))
    print_table(table)


def _server(settings: Settings) -> list[tuple[str, str]]:
    given = os.environ.get("PREFECT_API_URL")
    if running_server() is None and not given:
        return [("Server", "none runs; `qstar up` starts it, and the workers")]
    server = ensure_server()
    from flows.overview import overview

    found = overview(settings)
    zone = ZoneInfo(settings.operations.time_zone)
    runs = [f"{_when(run.at, zone)}  {run.state:<10} {run.name}  {run.message[:_LONGEST]}".rstrip()
            for run in found.last]
    return [
        ("Server", server.ui_url),
        ("Workers", ", ".join(found.workers) or "none; `qstar up` starts them"),
        *_stores(settings),
        ("Next night", _when(found.next_at, zone) if found.next_at else "not scheduled; `qstar deploy` does"),
        *((("Last runs" if place == 0 else "", told)) for place, told in enumerate(runs or ["none"])),
    ]


def _stores(settings: Settings) -> list[tuple[str, str]]:
    """Of the workers that were started here."""
    mine = store_of(settings)
    found = sorted({worker.store for worker in running_workers().values()})
    return [("Their store", store if store == mine else
             f"{store}, but these settings have {mine}: `qstar down`, then `qstar up` with these settings")
            for store in found]


def _version(settings: Settings) -> list[tuple[str, str]]:
    versions = Versions(Workspace.open(settings).store, settings.dataset)
    latest = versions.latest()
    if latest is None:
        return [("Latest", f"{settings.dataset} has no version yet")]
    manifest = versions.manifest(latest.version)
    worst = [check.name for check in manifest.gate.checks if check.verdict.value in ("warn", "fail")]
    return [("Latest", f"{manifest.dataset} {manifest.version}, {counted(manifest.rows, 'row')}, {manifest.created}"),
            ("Its gate", manifest.gate.verdict.value + (f": {', '.join(worst)}" if worst else ""))]


def _undone(settings: Settings) -> list[tuple[str, str]]:
    from qstar_core.loop.unfinished import crashed_loop
    from qstar_core.stages.reconciling import undone

    workspace = Workspace.open(settings)
    crashed = crashed_loop(workspace, patience_s=0)
    loops = [] if crashed is None else [f"{crashed.book.told} crashed or was interrupted in round {crashed.round}"]
    rounds = [f"round {left.round} {left.left.value} {left.version}".rstrip()
              for left in undone(workspace, patience_s=0)]
    return [("Undone" if place == 0 else "", told) for place, told in enumerate((*loops, *rounds))]


def _when(at: datetime | None, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}" if at is not None else "–"
