"""Traces against sums over a vocabulary that is small enough to write down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from qstar_core.analysis.analyse import analyse
from qstar_core.analysis.traces import CLASSES, acceptance, by_position, load_traces, token_statistics
from qstar_core.errors import DataError
from tests.analysis.example import our_rows, write_jsonl

THETA, TEACHER = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
MIXED = np.sqrt(THETA * TEACHER) / np.sum(np.sqrt(THETA * TEACHER))


def version(folder: Path, lengths: list[int], seed: int = 0) -> Path:
    """A version's folder whose tokens are drawn from the mixture of two distributions over three tokens."""
    rng = np.random.default_rng(seed)
    rows = []
    for length in lengths:
        token = rng.choice(3, length, p=MIXED)
        rows.append({"token": token, "logp_theta": np.log(THETA)[token], "logp_t": np.log(TEACHER)[token],
                     "logq": np.log(MIXED)[token], "alpha": rng.uniform(0.4, 0.6, length)})
    (folder / "traces").mkdir(parents=True)
    schema = pyarrow.schema([(name, pyarrow.list_(pyarrow.float32())) for name in rows[0]])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), folder / "traces" / "traces.parquet")
    write_jsonl(folder / "diagnostics" / "diagnostics.jsonl", our_rows(len(lengths)))
    return folder


def test_acceptance_and_weights_estimate_sums_over_the_vocabulary(tmp_path: Path) -> None:
    traces = load_traces(version(tmp_path / "v", [50] * 400), "v")
    assert traces is not None and traces.tokens == 20_000
    assert acceptance(traces, "theta") == pytest.approx(np.minimum(THETA, MIXED).sum(), abs=0.01)
    assert acceptance(traces, "t") == pytest.approx(np.minimum(TEACHER, MIXED).sum(), abs=0.01)
    assert np.mean(np.exp(traces.log_weight("theta"))) == pytest.approx(1.0, abs=0.02)
    effective = 1 / np.sum(THETA**2 / MIXED)
    assert np.mean(traces.effective_share("theta")) == pytest.approx(effective, abs=0.03)


def test_samples_are_cut_where_they_end(tmp_path: Path) -> None:
    traces = load_traces(version(tmp_path / "v", [3, 0, 1, 400]), "v")
    assert traces is not None and traces.lengths.tolist() == [3, 1, 400]
    assert traces.position[:6].tolist() == [0, 1, 2, 0, 0, 1]
    classes = traces.classes()
    assert tuple(classes) == CLASSES and classes["first token"].sum() == classes["last token"].sum() == 3
    middle = [classes[name] for name in CLASSES[1:4]]
    assert (np.sum(middle, axis=0) == 1).all(), "every token is in exactly one of the three"
    at, mean, _ = by_position(traces, traces.columns["alpha"], points=2_000)
    assert len(at) == 400 and mean[0] == pytest.approx(traces.columns["alpha"][traces.position == 0].mean())
    alpha = traces.columns["alpha"]
    assert traces.effective_share("t")[1] == 1.0 and by_position(traces, alpha)[0][-1] == pytest.approx(398.5)


def test_a_version_gives_all_figures_and_token_statistics(tmp_path: Path) -> None:
    paths = [version(tmp_path / name, [20] * 30, seed) for seed, name in enumerate(("a", "b"))]
    analysis = analyse(paths, tmp_path / "out")
    assert {"alpha_by_position.png", "alpha_by_class.png", "importance_weights.png", "ess_theta_ess_t.png",
            "acceptance.png"} < set(analysis.figures)
    assert all((tmp_path / "out" / name).stat().st_size > 5_000 for name in analysis.figures)
    assert [line.label for line in analysis.tokens] == ["a", "b"] and analysis.tokens[0].tokens == 600


def test_probability_zero_is_a_weight_of_zero(tmp_path: Path) -> None:
    folder = tmp_path / "v" / "traces"
    folder.mkdir(parents=True)
    row = {"logp_theta": [-np.inf, -1.0], "logp_t": [-1.0, -1.0], "logq": [-1.0, -1.0], "alpha": [1.0, 0.5]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), folder / "traces.parquet")
    traces = load_traces(tmp_path / "v", "v")
    assert traces is not None
    found = token_statistics(traces)
    assert found.acceptance_theta == 0.5 and found.acceptance_t == 1.0
    assert traces.effective_share("theta").tolist() == [0.5]


def test_broken_and_absent_traces(tmp_path: Path) -> None:
    assert load_traces(tmp_path, "v") is None
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "traces.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a readable file of traces"):
        load_traces(tmp_path, "v")
