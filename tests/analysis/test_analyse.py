"""`analyse` from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from qstar_core.analysis.analyse import Analysis, analyse, as_table
from qstar_core.errors import DataError
from tests.analysis.example import older_rows, our_rows, write_jsonl


def two_files(folder: Path) -> list[Path]:
    return [write_jsonl(folder / "ours.jsonl", our_rows(60)),
            write_jsonl(folder / "_older $x$.jsonl", older_rows(40, seed=1, shift=0.2))]


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    analysis = analyse(two_files(tmp_path), tmp_path / "out")
    written = (tmp_path / "out" / "analysis.json").read_text(encoding="utf-8")
    assert Analysis.model_validate_json(written) == analysis
    assert "NaN" not in written and json.loads(written)["files"][0]["rows"] == 60
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*analysis.figures, "analysis.json"])


def test_figures_are_written_and_show_something(tmp_path: Path) -> None:
    analysis = analyse(two_files(tmp_path), tmp_path / "out")
    assert analysis.figures == ("alpha_mean.png", "ess_ratio_mean.png", "kl_theta_mean.png", "kl_t_mean.png",
                                "log_z_sum.png", "kl_theta_kl_t.png")
    for name in analysis.figures:
        pixels = matplotlib.image.imread(tmp_path / "out" / name)[..., :3]
        assert pixels.shape[0] > 400 and pixels.shape[1] > 600
        coloured = float(np.mean(np.ptp(pixels, axis=2) > 0.2))
        assert coloured > 0.003, f"{name} is blank"


def test_figures_of_absent_columns_are_left_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "d.jsonl", [{"alpha_mean": 0.4}, {"alpha_mean": 0.6}])
    assert analyse([path], tmp_path / "out").figures == ("alpha_mean.png",)


def test_the_table_sets_files_side_by_side(tmp_path: Path) -> None:
    analysis = analyse(two_files(tmp_path), tmp_path / "out")
    headings, rows = as_table(analysis)
    labels = [file.label for file in analysis.files]
    assert headings == ("measure", *labels, *(f"{label} − {labels[0]}" for label in labels[1:]))
    assert all(len(row) == len(headings) for row in rows)
    alpha = next(row for row in rows if row[0] == "alpha_mean")
    assert float(alpha[-1].split(" [")[0]) == pytest.approx(0.2, abs=0.08)
    assert next(row for row in rows if row[0] == "alpha_mean in [0.2, 0.8]")[1].endswith("%")


def test_the_table_of_one_file_shows_its_spread(tmp_path: Path) -> None:
    analysis = analyse(two_files(tmp_path)[:1], tmp_path / "out")
    headings, rows = as_table(analysis)
    ess = dict(zip(headings, next(row for row in rows if row[0] == "ess_ratio_mean"), strict=True))
    column = next(c for c in analysis.files[0].columns if c.column == "ess_ratio_mean")
    assert ess["n"] == str(column.n) and ess["std"] == f"{column.std:.3g}"


def test_nothing_is_written_when_one_file_is_bad(tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "good.jsonl", older_rows(5))
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        analyse([good, tmp_path / "bad.jsonl"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "good.jsonl", older_rows(5))
    with pytest.raises(DataError, match="cannot be written"):
        analyse([good], good)
