"""The difference of two versions counts rows by id and content, and its distances are those of the gate."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qstar_core.errors import IntegrityError
from qstar_core.gate.drift import edges, kolmogorov_smirnov, one_hot
from qstar_core.records import FunnelStep
from qstar_core.stages.difference import difference
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.integrity import store_bytes
from qstar_core.store.versions import Versions
from tests.stages.made import data_row, diagnostics_row, publish, workspace


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    return DirectoryStore(tmp_path / "store")


def lines(store: DirectoryStore) -> dict[str, tuple[str, str]]:
    found = difference(workspace(store), Versions(store, "d"), "v1", "v2")
    return {line.name: (line.old, line.new) for line in found.lines}


def test_rows_are_added_removed_and_changed_by_id(store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1", rows=[data_row("v1", name) for name in "abcd"])
    changed = [data_row("v2", "c", said="other"), data_row("v2", "d") | {"run_id": "again", "round": "r2"}]
    publish(store, tmp_path, "v2", rows=[data_row("v2", "e"), *changed],
            funnel=(FunnelStep(stage="answer", entered=3, kept=3),))
    found = lines(store)
    assert (found["rows"], found["rows only here"]) == (("4", "3"), ("2", "1"))
    assert found["rows in both, changed"] == ("1", "1")
    assert found["answer: entered → kept"] == ("3 → 4", "3 → 3")


def test_distributions_move(store: DirectoryStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = {"v1": rng.normal(0.5, 0.1, 400), "v2": rng.normal(0.6, 0.1, 300)}
    for name, alphas in sides.items():
        told = [diagnostics_row(f"{name}{i}", alpha=alpha, tokens=5 + i % 7) for i, alpha in enumerate(alphas)]
        told.append(diagnostics_row("dropped", "dropped", alpha=99.0))
        publish(store, tmp_path, name, diagnostics=told)
    found = lines(store)
    assert found["α: mean ± std"] == tuple(f"{side.mean():.4g} ± {side.std():.4g}" for side in sides.values())
    bounds = edges(sides["v1"], 200)
    wanted = kolmogorov_smirnov(one_hot(sides["v2"], bounds).sum(axis=0), one_hot(sides["v1"], bounds).sum(axis=0))
    assert found["α: KS"] == ("–", f"{wanted:.4g}") and 0.3 < wanted < 0.5
    assert float(found["α: PSI"][1]) > 0.25 > float(found["tokens: PSI"][1])
    assert float(found["ESS ratio: PSI"][1]) < 0.01


def test_few_rows_and_no_numbers_are_told(store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, tmp_path, "v1")
    publish(store, tmp_path, "v2", diagnostics=[diagnostics_row("a") | {"alpha_mean": None}])
    found = lines(store)
    assert found["α: mean ± std"] == ("0.5 ± 0", "–")
    assert found["α: drift"] == ("–", "fewer than 50 rows to compare")


@pytest.mark.parametrize(("file", "column", "values", "told"), [
    ("data", "sample_id", None, "data/data.parquet of d v2 has no column sample_id"),
    ("diagnostics", "tokens", None, "has no column tokens of numbers"),
    ("diagnostics", "alpha_mean", [datetime(2026, 1, 1)] * 3, "has no column alpha_mean of numbers"),
    ("diagnostics", "alpha_mean", ["x"] * 3, "has no column alpha_mean of numbers"),
    ("diagnostics", "outcome", [b"kept"] * 3, "has no column outcome of text"),
])
def test_columns_of_others_are_told(store: DirectoryStore, tmp_path: Path, file: str, column: str,
                                    values: list[object] | None, told: str) -> None:
    for name in ("v1", "v2"):
        publish(store, tmp_path, name)
    rewrite(store, file, column, values)
    with pytest.raises(IntegrityError, match=told):
        lines(store)


def test_rows_hold_bytes_and_times(store: DirectoryStore, tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        publish(store, tmp_path, name)
    rewrite(store, "data", "raw", [b"\xff"] * 3)
    assert lines(store)["rows in both, changed"] == ("3", "3")


def rewrite(store: DirectoryStore, file: str, column: str, values: list[object] | None) -> None:
    """A column of v2 goes, or is another one."""
    key = f"datasets/d/versions/v2/{file}/{file}.parquet"
    table = pq.read_table(io.BytesIO(store.read(key)))
    kept = table.drop_columns([column]) if column in table.column_names else table
    out = io.BytesIO()
    pq.write_table(kept if values is None else kept.append_column(column, pa.array(values)), out)
    manifest = Versions(store, "d").manifest("v2")
    ref = store_bytes(store, key, out.getvalue(), rows=3)
    files = tuple(ref if known.key == key else known for known in manifest.files)
    store.write("datasets/d/versions/v2/manifest.json",
                manifest.model_copy(update={"files": files}).model_dump_json().encode())
