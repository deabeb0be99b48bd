"""Diagnostics files, read into columns.

A source is a `.jsonl` or `.parquet` file, a `diagnostics/` folder, or the folder of a version; all shards of a folder
are one data set. Any of the known columns may be absent. A null is a missing value; NaN and ∞ are counted as not
finite and kept apart. What is malformed is one DataError that names the file, the row and the fix.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from qstar_core.errors import DataError

Values = npt.NDArray[np.float64]

COLUMNS = (
    "alpha_mean", "alpha_std", "ess_ratio_mean", "ess_ratio_std", "ess_ratio_geometric_mean",
    "divergent_ess_ratio_mean", "kl_theta_mean", "kl_t_mean", "kl_abs_difference_mean", "tokens", "divergent_tokens",
    "log_z_sum", "logp_theta_sum", "logp_t_sum", "logq_sum", "boundary_tokens", "clamped_tokens",
    "unconverged_tokens", "policy_tokens", "entropy_theta_mean", "entropy_t_mean",
)
_SUFFIXES = (".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """One source. A column has a value for every row: NaN where it is missing, ±∞ or NaN where it is not finite;
    `missing` tells the two apart by counting the former."""

    label: str
    path: str
    rows: int
    columns: dict[str, Values]
    missing: dict[str, int]
    outcomes: dict[str, int]

    def finite(self, column: str) -> Values:
        """The values that can be averaged; empty where the column is absent."""
        values = self.columns.get(column, np.empty(0))
        found: Values = values[np.isfinite(values)]
        return found


def load_all(paths: Sequence[Path]) -> tuple[Diagnostics, ...]:
    """All sources, under labels that tell them apart."""
    if not paths:
        raise DataError("no diagnostics file was given", "name at least one .jsonl or .parquet file or version folder")
    return tuple(load(path, label) for path, label in zip(paths, _labels(paths), strict=True))


def load(path: Path, label: str | None = None) -> Diagnostics:
    rows: list[dict[str, Any]] = []
    for file in _files(path):
        before = len(rows)
        rows.extend(_checked(row, f"{file}: {where}") for where, row in _rows(file))
        if len(rows) == before:
            raise DataError(f"{file} has no rows", "write diagnostics again, or leave this file out")
    present = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    if not present:
        raise DataError(f"{path}: no row has a diagnostic column",
                        f"give a diagnostics file, with columns such as {', '.join(COLUMNS[:3])}")
    absent = {name: sum(row.get(name) is None for row in rows) for name in present}
    return Diagnostics(
        label=label or path.name, path=str(path), rows=len(rows),
        columns={name: np.asarray([np.nan if row.get(name) is None else float(row[name]) for row in rows])
                 for name in present},
        missing=absent,
        outcomes=dict(sorted(Counter(str(row["outcome"]) for row in rows if row.get("outcome")).items())),
    )


def _files(path: Path) -> tuple[Path, ...]:
    if not path.exists():
        raise DataError(f"{path} does not exist", "check the path")
    if path.is_file():
        if path.suffix not in _SUFFIXES:
            raise DataError(f"{path} is neither .jsonl nor .parquet", "convert the file, or name a version folder")
        return (path,)
    folder = path / "diagnostics" if (path / "diagnostics").is_dir() else path
    files = {file.name: file for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES}
    # A version keeps the same rows in both forms: the Parquet twin of a .jsonl file is the one to read.
    chosen = tuple(file for name, file in files.items()
                   if file.suffix == ".parquet" or f"{file.stem}.parquet" not in files)
    if not chosen:
        raise DataError(f"{folder} holds no .jsonl or .parquet file", "name a diagnostics file or a version folder")
    return chosen


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    return _parquet_rows(file) if file.suffix == ".parquet" else _json_rows(file)


def _json_rows(file: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"line {number}", json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 after line {number}", "write the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: line {number} is not JSON ({error})",
                        "repair or remove the line; one JSON object a line is expected") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})", "check the file's permissions") from error


def _parquet_rows(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = pyarrow.parquet.ParquetFile(file)
        wanted = [name for name in table.schema_arrow.names if name in (*COLUMNS, "outcome")]
        number = 0
        for batch in table.iter_batches(columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file ({error})", "write the file again") from error


def _checked(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object", "repair or remove the line")
    for name in COLUMNS:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{where}: {name} is {value!r:.60}, not a number", "write a number or null")
        if isinstance(value, int) and abs(value) > 2**63:
            raise DataError(f"{where}: {name} is too large for a number", "write a number or null")
    return {name: row[name] for name in (*COLUMNS, "outcome") if name in row}


def _labels(paths: Sequence[Path]) -> tuple[str, ...]:
    """A version by its manifest; else file names, with as many parent folders as it takes to tell them apart, then a
    running number."""
    def tail(path: Path, depth: int) -> str:
        return "/".join(path.resolve().parts[-depth:])

    depth, deepest = 1, max(len(path.resolve().parts) for path in paths)
    distinct = len({path.resolve() for path in paths})
    while depth < deepest and len({tail(path, depth) for path in paths}) < distinct:
        depth += 1
    labels: list[str] = []
    for path in paths:
        label = _version(path) or tail(path, depth)
        count = sum(seen.resolve() == path.resolve() for seen in paths[: len(labels)])
        labels.append(f"{label} ({count + 1})" if count else label)
    return tuple(labels)


def _version(path: Path) -> str | None:
    try:
        found = json.loads((path / "manifest.json").read_bytes())
        return f"{found['dataset']} {found['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
