"""`qstar export`: a published version in the format of a trainer."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from flows.commands.located import dataset_option
from flows.commands.options import config_option
from flows.console import out as console
from flows.packaged import find_config
from qstar_core.config import S3Settings
from qstar_core.configload import load_settings
from qstar_core.exports.folder import check_place
from qstar_core.exports.hub import check_repository, push
from qstar_core.exports.registry import FORMATS, format_named, kind_named
from qstar_core.stages.exporting import RECORD, Exported, export
from qstar_core.stages.workspace import Workspace
from qstar_core.store.finding import LATEST, find_version
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store

_SETTINGS = {"pairs": "export.pairs.method", "pairs_per_prompt": "export.pairs.per_prompt",
             "balance_length": "export.pairs.balance_length", "validation": "export.validation",
             "rows_per_file": "export.rows_per_file", "seed": "export.pairs.seed"}


@click.command("export")
@click.argument("version", default=LATEST)
@click.option("--to", "format_name", required=True, metavar="FORMAT", help=", ".join(FORMATS))
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="Folder to make [default: DATASET-VERSION-FORMAT]")
@click.option("--kind", default=None, metavar="KIND",
              help="Rows, where a format takes several kinds: sft, preference, labelled, questions, tokens")
@click.option("--overwrite", is_flag=True, help="Replace an export that is there already")
@click.option("--push", "repository", default=None, metavar="OWNER/NAME", help="Push the folder to the hub")
@click.option("--public", is_flag=True, help="A dataset that --push makes is public; without it, private")
@click.option("--pairs", default=None, metavar="METHOD",
              help="Preference pairs by: verified, score, likelihood, teacher_student")
@click.option("--pairs-per-prompt", type=int, default=None, help="Most pairs of one prompt")
@click.option("--balance-length", is_flag=True, default=None,
              help="As many chosen texts longer as shorter; drops the other pairs")
@click.option("--validation", type=float, default=None, help="Share of the prompts for a validation split")
@click.option("--rows-per-file", type=int, default=None, help="Rows of one file at most")
@click.option("--seed", type=int, default=None, help="Seed of pairs and split")
@config_option
@dataset_option
def export_version(version: str, format_name: str, out: Path | None, kind: str | None, overwrite: bool,
                   repository: str | None, public: bool, config_path: str | None, dataset: str | None,
                   **chosen: object) -> None:
    """VERSION (`latest`, a name, its beginning, or the address of its folder) in the format of a trainer.

    The folder holds data files, the settings that the trainer needs, and a card.
    """
    format_ = format_named(format_name)
    rows = kind_named(format_, kind)
    if repository is not None:
        check_repository(repository)
    flags = {setting: chosen[name] for name, setting in _SETTINGS.items() if chosen[name] is not None}
    workspace = Workspace.open(load_settings(find_config(config_path), os.environ, flags))
    s3: S3Settings = workspace.settings.store.s3

    def open_at(uri: str) -> ObjectStore:
        return open_store(uri, s3)

    store, versions, name = find_version(workspace.store, dataset or workspace.settings.dataset, version, open_at)
    folder = (out or Path(f"{versions.dataset}-{name}-{format_name}")).expanduser().resolve()
    check_place(folder, RECORD, overwrite=overwrite)
    done = export(workspace, store, versions.manifest(name), format_, rows, folder, overwrite=overwrite)
    _tell(done)
    if repository is not None:
        address = push(folder, repository, private=not public, message=f"{versions.dataset} {name} by qstar")
        console.print(f"Hub      {address}", highlight=False, soft_wrap=True, markup=False)


def _tell(done: Exported) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in done.made.rows.items() if count)
    lines = {"Version": f"{done.made.dataset} {done.made.version}", "Rows": f"{counts} ({done.made.kind.value})",
             "Folder": str(done.folder)}
    if done.gap is not None:
        lines["Lengths"] = done.gap.told
    for name, value in lines.items():
        console.print(f"{name:<8} {value}", highlight=False, soft_wrap=True, markup=False)
