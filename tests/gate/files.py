"""The three Parquet files of a small version, healthy or with a fault planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.gate.expectations import Facts
from qstar_core.stages.outputs import DATA, DIAGNOSTICS, traces_schema
from tests.gate.example import COLUMNS

ROWS = 6
FACTS = Facts(version="r1-abc", samples=ROWS, kept=ROWS, diagnostics=True)
SCHEMAS = {"data": DATA, "diagnostics": DIAGNOSTICS, "traces": traces_schema(0)}
Rows = list[dict[str, Any]]


def rows_of(file: str) -> Rows:
    return [{"data": _data, "diagnostics": _diagnostics, "traces": _trace}[file](index) for index in range(ROWS)]


def _ids(index: int) -> dict[str, Any]:
    return {"sample_idx": index, "sample_id": f"s{index:03d}", "prompt_id": f"p{index // 2}", "draw": index % 2}


def _data(index: int) -> dict[str, Any]:
    turns = [("system", "be brief"), ("user", f"question {index}"), ("assistant", f"maybe answer {index}")]
    return {**_ids(index), "messages": [{"role": role, "content": content} for role, content in turns],
            "kind": "k", "source": "s", "answer": None, "finish_reason": "stop", "tokens": 3,
            "alpha_method": "kl_symmetry", "temperature": 1.0, "seed": 0, "student_sha256": "a" * 64,
            "teacher_sha256": "b" * 64, "round": "r1", "version": FACTS.version, "run_id": "run"}


def _diagnostics(index: int) -> dict[str, Any]:
    return {**_ids(index), "outcome": "kept", "stage": "", "reason": "", "findings": [], **COLUMNS}


def _trace(index: int) -> dict[str, Any]:
    row = {"sample_idx": index, "sample_id": f"s{index:03d}", "token": [1, 2, 3]}
    return {**row, "logp_theta": [-1.0] * 3, "logp_t": [-1.0] * 3, "logq": [-1.0] * 3, "alpha": [0.4, 0.5, 0.6],
            "entropy_theta": [1.0] * 3, "entropy_t": [1.0] * 3}


def write(folder: Path, **changed: pa.Table | Rows) -> dict[str, tuple[Path, pa.Schema]]:
    """`changed` replaces the rows, or the whole table, of a file."""
    found = {}
    for name, schema in SCHEMAS.items():
        given = changed.get(name, rows_of(name))
        table = given if isinstance(given, pa.Table) else pa.Table.from_pylist(given, schema=schema)
        path = folder / f"{name}.parquet"
        pq.write_table(table, path)
        found[name] = (path, schema)
    return found
