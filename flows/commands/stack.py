"""`qstar up`, `qstar down` and `qstar ui`: the laptop's whole stack, a Prefect server with the catalogue, its workers
and, where installed, an S3 server.
"""

from __future__ import annotations

import os
import sys
import webbrowser

import rich_click as click

from flows.commands.options import config_option
from flows.console import out
from flows.packaged import find_config
from flows.serve import ensure_server, stop_server
from flows.workers import other_stores, start_workers, stop_workers, store_of
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.home import subfolder
from qstar_core.store.localserver import LocalS3Server, RunningS3


@click.command()
@config_option
@click.option("--s3/--no-s3", default=False,
              help="Also start a local S3 server, the store of these workers (needs the extra `objectstore`)")
@click.option("--workers/--no-workers", default=True, show_default=True,
              help="Also apply the catalogue and start the workers that run it, every night")
def up(config_path: str | None, s3: bool, workers: bool) -> None:
    """Start the project's servers and workers in the background; those that run already are left alone."""
    server = ensure_server()
    out.print(f"Prefect     {server.ui_url}", highlight=False)
    if s3:
        _start_s3()
    if workers:
        _start_workers(config_path)


@click.command()
def down() -> None:
    """Stop the workers and servers that `qstar up` or a run started."""
    for pool in stop_workers():
        out.print(f"worker of {pool} stopped", highlight=False)
    out.print("Prefect server stopped" if stop_server() else "no Prefect server was running")
    local = LocalS3Server(subfolder("s3"))
    running = local.status()
    if running is not None:
        local.stop()
        out.print("S3 server stopped")
        used = [name for name, value in _variables(running).items() if os.environ.get(name) == value]
        if used:
            out.print(f"this shell still names it: unset {' '.join(sorted(used))}", highlight=False, soft_wrap=True)


@click.command()
@click.option("--open/--no-open", "opened", default=True, show_default=True, help="Open the page in a browser")
def ui(opened: bool) -> None:
    """Open the pages of the Prefect server, which is started where none runs; print their address."""
    server = ensure_server()
    out.print(server.ui_url, highlight=False, soft_wrap=True)
    if opened and _has_screen():
        webbrowser.open(server.ui_url)


def _start_s3() -> None:
    running = LocalS3Server(subfolder("s3")).start()
    out.print(f"S3          {running.endpoint_url}, bucket {running.bucket}", highlight=False)
    out.print("To use it as the store:", highlight=False)
    variables = _variables(running)
    for name, value in variables.items():
        out.print(f"  export {name}={value}", highlight=False, soft_wrap=True)
    os.environ.update(variables)  # the catalogue and the workers of this call use it too


def _variables(running: RunningS3) -> dict[str, str]:
    """What points `qstar` to the server."""
    return {**running.environment, "QSTAR__STORE__URI": f"s3://{running.bucket}",
            "QSTAR__STORE__S3__ENDPOINT_URL": running.endpoint_url, "QSTAR__STORE__S3__ADDRESSING_STYLE": "path",
            "QSTAR__STORE__S3__REGION": "us-east-1"}


def _start_workers(config_path: str | None) -> None:
    from flows.catalogue.entries import catalogue
    from flows.commands.deploy import apply_catalogue

    settings = load_settings(find_config(config_path), os.environ)
    changed = [item for item in apply_catalogue(settings) if item.change.value != "unchanged"]
    made = catalogue(settings)
    out.print(f"Catalogue   {len(made.deployments)} deployments of {settings.dataset}, {len(changed)} items changed",
              highlight=False)
    if settings.operations.pool_type == "process":
        store = store_of(settings)
        started = start_workers([pool.name for pool in made.pools], store)
        out.print(f"Workers     {', '.join(pool.name for pool in made.pools)}{'' if started else ', run already'}",
                  highlight=False)
        if started:
            _look_at_once(settings)
        for other in other_stores(store):
            out.print(f"            some were started with the store {other}, these settings have {store}: "
                      "`qstar down`, then `qstar up` as you called it now", style="yellow", highlight=False,
                      soft_wrap=True, markup=False)
    out.print(f"Every night refresh at `{settings.operations.cron}`, {settings.operations.time_zone}; `qstar status` "
              "tells how it went", highlight=False, soft_wrap=True)


def _look_at_once(settings: Settings) -> None:
    """Workers begin where something may have ended them, so what they left undone does not wait for the half-hour."""
    from prefect.deployments import run_deployment

    from flows.faults import server_faults

    with server_faults():
        run_deployment(f"reconcile/{settings.dataset}", timeout=0, as_subflow=False)


def _has_screen() -> bool:
    """Without one, Python would open a browser of the terminal in the middle of the command's output."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
