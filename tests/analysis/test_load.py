"""Reading diagnostics: ours, those of older tools, and what is wrong with a file in one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from qstar_core.analysis.load import load, load_all
from qstar_core.errors import DataError
from tests.analysis.example import older_rows, our_rows, write_jsonl


def test_older_files_have_fewer_columns(tmp_path: Path) -> None:
    data = load(write_jsonl(tmp_path / "old.jsonl", older_rows(20)))
    assert list(data.columns) == ["alpha_mean", "alpha_std", "ess_ratio_mean", "ess_ratio_std", "kl_theta_mean",
                                  "kl_t_mean"]
    assert data.rows == 20 and data.outcomes == {}


def test_parquet_and_jsonl_say_the_same(tmp_path: Path) -> None:
    rows = our_rows(30)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    one, other = load(write_jsonl(tmp_path / "d.jsonl", rows)), load(tmp_path / "d.parquet")
    assert one.columns.keys() == other.columns.keys() and one.outcomes == other.outcomes == {"dropped": 10, "kept": 20}
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name])
    assert one.missing == other.missing and one.missing["ess_ratio_mean"] == 3


def test_a_version_folder_or_its_diagnostics_may_be_given(tmp_path: Path) -> None:
    rows = older_rows(10)
    folder = tmp_path / "v1" / "diagnostics"
    folder.mkdir(parents=True)
    write_jsonl(folder / "part-1.jsonl", rows[:4])
    write_jsonl(folder / "part-0.jsonl", rows[4:])
    for path in (tmp_path / "v1", folder):
        np.testing.assert_array_equal(load(path).columns["alpha_mean"],
                                      [row["alpha_mean"] for row in rows[4:] + rows[:4]])


def test_what_is_not_finite_is_counted_not_averaged(tmp_path: Path) -> None:
    rows = older_rows(6)
    rows[0]["ess_ratio_mean"], rows[1]["ess_ratio_mean"] = math.inf, math.nan
    rows[2]["ess_ratio_mean"] = None
    del rows[3]["ess_ratio_mean"]
    data = load(write_jsonl(tmp_path / "d.jsonl", rows))
    assert len(data.finite("ess_ratio_mean")) == 2 and data.missing["ess_ratio_mean"] == 2


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    assert caught.value.fix and str(path.name) in str(caught.value)
    return str(caught.value)


GOOD = json.dumps(older_rows(1)[0])


@pytest.mark.parametrize(("text", "says"), [
    ("", "has no rows"),
    ("\n\n", "has no rows"),
    (f"{GOOD}\n{{oops\n", "line 2 is not JSON"),
    (f"{GOOD}\n[1, 2]\n", "line 2 is not a JSON object"),
    (f'{GOOD}\n\n{{"alpha_mean": "high"}}\n', "line 3: alpha_mean is 'high', not a number"),
    ('{"alpha_mean": true}\n', "line 1: alpha_mean is True"),
    ('{"question": "?"}\n', "no row has a diagnostic column"),
    ("[" * 100_000, "line 1 is not JSON"),
    ('{"tokens": 1' + "0" * 400 + "}", "line 1: tokens is too large"),
])
def test_a_bad_file_is_one_error_with_line_and_fix(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="utf-8")
    assert says in refused(path)


def test_bytes_that_are_no_text_or_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "other.csv").write_text("a,b")
    assert "not UTF-8" in refused(tmp_path / "latin.jsonl")
    assert "not a readable Parquet file" in refused(tmp_path / "broken.parquet")
    assert "neither .jsonl nor .parquet" in refused(tmp_path / "other.csv")
    assert "does not exist" in refused(tmp_path / "absent.jsonl")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no" in refused(tmp_path)


def test_rows_kept_in_both_forms_are_read_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", older_rows(2))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(older_rows(2)), tmp_path / "a.parquet")
    write_jsonl(tmp_path / "b.jsonl", older_rows(3))
    assert load(tmp_path).rows == 5


def test_parquet_columns_of_another_type(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"alpha_mean": "0.5"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    assert "row 1: alpha_mean is '0.5', not a number" in refused(tmp_path / "d.parquet")


def test_labels_tell_files_apart(tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / name / "d.jsonl", older_rows(2)) for name in ("a", "b")]
    assert [source.label for source in load_all(paths)] == ["a/d.jsonl", "b/d.jsonl"]
    assert [source.label for source in load_all([paths[0], paths[0]])] == ["d.jsonl", "d.jsonl (2)"]
    with pytest.raises(DataError, match="no diagnostics file was given"):
        load_all([])


def test_a_version_is_named_by_its_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "0" / "diagnostics"
    folder.mkdir(parents=True)
    write_jsonl(folder / "d.jsonl", older_rows(3))
    (tmp_path / "0" / "manifest.json").write_text('{"dataset": "demo", "version": "1-abc"}')
    assert [source.label for source in load_all([tmp_path / "0"])] == ["demo 1-abc"]
    (tmp_path / "0" / "manifest.json").write_text("[]")
    assert [source.label for source in load_all([tmp_path / "0"])] == ["0"]
