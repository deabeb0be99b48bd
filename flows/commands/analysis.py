"""`qstar analyze`: statistics and plots of diagnostics, several files side by side."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.table import Table

from flows.console import out, print_table


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("analysis"),
              show_default=True, help="Folder for the figures and analysis.json")
def analyze(files: tuple[Path, ...], output: Path) -> None:
    """Statistics and figures of diagnostics FILES: .jsonl, .parquet, or the folder of a version.

    Several files are compared with the first one. Diagnostics of older samplers work too.
    """
    from qstar_core.analysis.analyse import analyse, as_table

    analysis = analyse(files, output)
    headings, rows = as_table(analysis)
    table = Table(*headings, box=None, title="means over samples [95 % bootstrap interval]", title_justify="left")
    for row in rows:
        table.add_row(*row)
    print_table(table)
    for name in ("analysis.json", *analysis.figures):
        out.print(f"wrote {output / name}", highlight=False, soft_wrap=True, markup=False)
