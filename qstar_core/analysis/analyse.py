"""`qstar analyze`: diagnostics files in; statistics, a comparison and figures out.

`analysis.json` holds everything that the figures and the table are drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qstar_core.analysis.figures import draw_figures
from qstar_core.analysis.load import load_all
from qstar_core.analysis.statistics import Comparison, FileStatistics, Interval, comparisons, file_statistics
from qstar_core.errors import DataError
from qstar_core.records import Record

HEADINGS = ("file", "measure", "n", "mean", "95 % interval", "std", "min", "5 %", "median", "95 %", "max", "left out")


class Analysis(Record):
    """`figures` are the names of the files written beside `analysis.json`."""

    files: tuple[FileStatistics, ...]
    comparisons: tuple[Comparison, ...]
    figures: tuple[str, ...]


def analyse(paths: Sequence[Path], out_dir: Path) -> Analysis:
    """Analyse every source and compare the later ones with the first. All files are read before anything is written."""
    sources = load_all(paths)
    statistics = tuple(file_statistics(source) for source in sources)
    differences = comparisons(sources)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        figures = draw_figures(sources, out_dir)
        analysis = Analysis(files=statistics, comparisons=differences, figures=tuple(path.name for path in figures))
        partial = out_dir / "analysis.json.partial"
        partial.write_text(analysis.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(out_dir / "analysis.json")
    except OSError as error:
        raise DataError(f"{out_dir} cannot be written ({error.strerror})", "name another output folder") from error
    return analysis


def as_table(analysis: Analysis) -> list[dict[str, str]]:
    """Rows for a terminal, each with all of HEADINGS as keys; what does not apply is an empty text."""
    rows = [row for file in analysis.files for row in _file_rows(file)]
    rows += [
        _row(f"{c.other} − {c.base}", c.column, mean=_number(c.difference), interval=c.interval)
        for c in analysis.comparisons
    ]
    return rows


def _file_rows(file: FileStatistics) -> list[dict[str, str]]:
    rows = []
    for column in file.columns:
        quantiles = column.quantiles or {}
        rows.append(_row(file.label, column.column, n=column.n, mean=_number(column.mean), interval=column.interval) | {
            "std": _number(column.std), "min": _number(column.minimum), "max": _number(column.maximum),
            "5 %": _number(quantiles.get("5 %")), "median": _number(quantiles.get("50 %")),
            "95 %": _number(quantiles.get("95 %")), "left out": _left_out(column.missing, column.not_finite),
        })
    for share in file.shares:
        shown = "" if share.share is None else f"{100 * share.share:.1f} %"
        rows.append(_row(file.label, f"{share.column} in [{share.low}, {share.high}]", n=share.n, mean=shown))
    gap = file.kl_gap
    if gap is not None:
        rows.append(_row(file.label, "KL(q‖π_θ) − KL(q‖π_t)", n=gap.n, mean=_number(gap.mean), interval=gap.interval))
        rows.append(_row(file.label, "|KL(q‖π_θ) − KL(q‖π_t)|", n=gap.n, mean=_number(gap.mean_absolute)))
    return rows


def _row(file: str, measure: str, *, mean: str, n: int | None = None,
         interval: Interval | None = None) -> dict[str, str]:
    shown = "" if interval is None else f"{_number(interval.low)} … {_number(interval.high)}"
    return dict.fromkeys(HEADINGS, "") | {
        "file": file, "measure": measure, "n": "" if n is None else f"{n:,}", "mean": mean, "95 % interval": shown,
    }


def _left_out(missing: int, not_finite: int) -> str:
    parts = [f"{missing:,} missing"] * bool(missing) + [f"{not_finite:,} not finite"] * bool(not_finite)
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
