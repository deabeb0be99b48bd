"""`qstar analyze`: statistics and plots of diagnostics, several files side by side."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import rich_click as click
from rich.table import Table

from flows.commands.located import dataset_option, found_version, open_workspace
from flows.commands.options import config_option
from flows.console import out, print_table
from qstar_core.stages.judged import DIAGNOSTICS, TRACES
from qstar_core.store.integrity import download_verified


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--out", "--output", "output", type=click.Path(path_type=Path, file_okay=False), default=Path("analysis"),
              show_default=True, help="Folder for the figures and analysis.json")
@config_option
@dataset_option
def analyze(files: tuple[str, ...], output: Path, config_path: str | None, dataset: str | None) -> None:
    """Statistics and figures of diagnostics FILES: .jsonl, .parquet, the folder of a version, or a version: `latest`,
    its name, or its address.

    Several files are compared with the first one. Diagnostics of older samplers work too.
    """
    from qstar_core.analysis.analyse import analyse, as_table

    with TemporaryDirectory(prefix="qstar-") as scratch:
        analysis = analyse([_local(name, Path(scratch) / str(at), config_path, dataset)
                            for at, name in enumerate(files)], output)
    headings, rows = as_table(analysis)
    table = Table(*headings, box=None, title="means over samples [95 % bootstrap interval]", title_justify="left")
    for row in rows:
        table.add_row(*row)
    print_table(table)
    for name in ("analysis.json", *analysis.figures):
        out.print(f"wrote {output / name}", highlight=False, soft_wrap=True, markup=False)


def _local(name: str, folder: Path, config_path: str | None, dataset: str | None) -> Path:
    """What lies here as it is; of a version in a store, what analysis reads, fetched to `folder`."""
    path = Path(name)
    if path.exists() or path.suffix in (".jsonl", ".parquet"):
        return path
    workspace = open_workspace(config_path)
    space, versions, version = found_version(workspace, dataset or workspace.settings.dataset, name)
    for ref in versions.manifest(version).files:
        file = ref.key.removeprefix(f"{versions.key(version)}/")
        if file in (DIAGNOSTICS, TRACES):
            (folder / file).parent.mkdir(parents=True)
            download_verified(space.store, ref, folder / file)
    (folder / "manifest.json").write_bytes(versions.manifest_data(version))
    return folder
