"""The judged rows of a round or a version, read back from its files, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from qstar_core.errors import IntegrityError
from qstar_core.records import FileRef, JsonObject
from qstar_core.selection.table import DrawTable
from qstar_core.store.integrity import download_verified
from qstar_core.store.objects import ObjectStore

DATA, REJECTS, DIAGNOSTICS = "data/data.parquet", "rejects/rejects.jsonl", "diagnostics/diagnostics.parquet"
TRACES = "traces/traces.parquet"
FILES = (DATA, REJECTS, DIAGNOSTICS)
_MEASURES = ("sample_id", "tokens", "logq_sum", "logp_t_sum", "alpha_mean")


def fetched(store: ObjectStore, files: Iterable[FileRef], name: str, folder: Path) -> Path:
    """The file of this name, on this machine, its hash compared."""
    ref = next((ref for ref in files if ref.key.endswith(f"/{name}")), None)
    if ref is None:
        raise IntegrityError(f"the version lists no file {name}",
                             "set output.traces to true for the next round" if name == TRACES
                             else "publish its round again under another name")
    path = folder / name.replace("/", "-")
    download_verified(store, ref, path)
    return path


def parquet_rows(path: Path, columns: list[str] | None = None) -> Iterator[JsonObject]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=columns):
        yield from batch.to_pylist()


def json_rows(path: Path) -> Iterator[JsonObject]:
    with path.open(encoding="utf-8", errors="surrogatepass") as lines:
        for line in lines:
            yield json.loads(line)


def fill(table: DrawTable, files: Mapping[str, Path], score_column: str, version: str) -> None:
    """Every draw of the round itself; rows of earlier versions (`version` tells) have their draws there."""
    for row in parquet_rows(files[DATA]):
        if row["version"] == version:
            table.add_kept(row)
    for row in json_rows(files[REJECTS]):
        table.add_reject(row)
    known = pq.read_schema(files[DIAGNOSTICS]).names
    for row in parquet_rows(files[DIAGNOSTICS], [name for name in (*_MEASURES, score_column) if name in known]):
        table.add_diagnostics(row)
