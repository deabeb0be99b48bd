"""`qstar analyze`: diagnostics files in; statistics, a comparison and figures out.

`analysis.json` holds everything that the figures and the table are drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qstar_core.analysis.figures import draw_figures
from qstar_core.analysis.load import load_all
from qstar_core.analysis.statistics import Comparison, FileStatistics, Interval, comparisons, file_statistics
from qstar_core.analysis.token_figures import draw_token_figures
from qstar_core.analysis.traces import TokenStatistics, load_traces, token_statistics
from qstar_core.errors import DataError
from qstar_core.records import Record


class Analysis(Record):
    """`tokens` has a line for every version with traces. `figures` are the names of the files written beside
    `analysis.json`."""

    files: tuple[FileStatistics, ...]
    tokens: tuple[TokenStatistics, ...] = ()
    comparisons: tuple[Comparison, ...]
    figures: tuple[str, ...]


def analyse(paths: Sequence[Path], out_dir: Path) -> Analysis:
    """Analyse every source and compare the later ones with the first. All files are read before anything is written."""
    sources = load_all(paths)
    statistics = tuple(file_statistics(source) for source in sources)
    differences = comparisons(sources)
    found = (load_traces(path, source.label) for path, source in zip(paths, sources, strict=True))
    traces = tuple(one for one in found if one is not None)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        figures = (*draw_figures(sources, out_dir), *draw_token_figures(traces, out_dir))
        analysis = Analysis(files=statistics, tokens=tuple(map(token_statistics, traces)), comparisons=differences,
                            figures=tuple(path.name for path in figures))
        partial = out_dir / "analysis.json.partial"
        partial.write_text(analysis.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(out_dir / "analysis.json")
    except OSError as error:
        raise DataError(f"{out_dir} cannot be written ({error.strerror})", "name another output folder") from error
    return analysis


def as_table(analysis: Analysis) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows for a terminal: one file with its spread, or several side by side with what differs."""
    if len(analysis.files) == 1:
        return _alone(analysis.files[0])
    files, base = analysis.files, analysis.files[0].label
    headings = ("measure", *(file.label for file in files), *(f"{file.label} − {base}" for file in files[1:]))
    differences = {(c.other, c.column): _with_interval(c.difference, c.interval) for c in analysis.comparisons}
    columns = [{**{c.column: _with_interval(c.mean, c.interval) for c in file.columns}, **_shares(file)}
               for file in files]
    names = list(dict.fromkeys(name for column in columns for name in column))
    return headings, [
        (name, *(column.get(name, "") for column in columns),
         *(differences.get((file.label, name), "") for file in files[1:]))
        for name in names
    ]


def _alone(file: FileStatistics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    headings = ("measure", "mean [95 %]", "std", "median", "5 % … 95 %", "n")
    rows: list[tuple[str, ...]] = []
    for column in file.columns:
        quantiles = column.quantiles or {}
        spread = f"{_number(quantiles.get('5 %'))} … {_number(quantiles.get('95 %'))}" if quantiles else ""
        rows.append((column.column, _with_interval(column.mean, column.interval), _number(column.std),
                     _number(quantiles.get("50 %")), spread, f"{column.n:,}"))
    rows += [(name, value, "", "", "", "") for name, value in _shares(file).items()]
    return headings, rows


def _shares(file: FileStatistics) -> dict[str, str]:
    shown = {f"{s.column} in [{s.low}, {s.high}]": "" if s.share is None else f"{100 * s.share:.1f} %"
             for s in file.shares}
    if file.kl_gap is not None:
        shown["KL(q‖π_θ) − KL(q‖π_t)"] = _with_interval(file.kl_gap.mean, file.kl_gap.interval)
    return shown


def _with_interval(value: float | None, interval: Interval | None) -> str:
    shown = _number(value)
    return shown if interval is None else f"{shown} [{_number(interval.low)}, {_number(interval.high)}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
