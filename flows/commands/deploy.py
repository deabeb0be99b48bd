"""`qstar deploy`: the catalogue of a dataset onto the Prefect server, as often as one likes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out, print_table
from flows.packaged import find_config
from flows.serve import ensure_server
from qstar_core.config import Settings
from qstar_core.configload import load_settings

if TYPE_CHECKING:
    from flows.catalogue.apply import Applied


@click.command(cls=SettingsCommand)
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing")
@click.option("--write", "target", type=click.Path(dir_okay=False, path_type=Path), default=None,
              help="Write the catalogue as a prefect.yaml instead, without a server")
@setting_flags()
def deploy(config_path: str | None, dry_run: bool, target: Path | None) -> None:
    """Put deployments, schedules, limits and automations onto the Prefect server; remove what is no longer wanted.

    The settings given here are those that the nightly rounds run with, in this working directory.
    """
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    if target is not None:
        from flows.catalogue.document import document

        target.write_text(document(settings), encoding="utf-8")
        out.print(f"{target}", highlight=False, soft_wrap=True, markup=False)
        return
    print_table(_table(apply_catalogue(settings, dry_run)))
    if dry_run:
        out.print("nothing was changed")


def apply_catalogue(settings: Settings, dry_run: bool = False) -> list[Applied]:
    """To the server that the environment names, which is started where none runs."""
    with err.status("starting"):
        from qstar_core.stages.planning import check_settings

        check_settings(settings)
        ensure_server()
        from flows.catalogue.apply import apply
        from flows.catalogue.entries import catalogue
        from flows.faults import server_faults
    with err.status("applying the catalogue"), server_faults():
        return apply(catalogue(settings, Path.cwd()), dry_run)


def _table(applied: Sequence[Applied]) -> Table:
    table = Table("", "kind", "name", "what differed", box=None)
    for item in applied:
        table.add_row(item.change.value, item.kind, item.name, ", ".join(item.fields))
    return table
