"""Statistics against numpy, and what the intervals may claim."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qstar_core.analysis.load import Diagnostics, load
from qstar_core.analysis.statistics import Comparison, column_statistics, comparisons, file_statistics
from tests.analysis.example import older_rows, write_jsonl


def source(label: str = "a", **columns: list[float | None]) -> Diagnostics:
    rows = max(map(len, columns.values()))
    return Diagnostics(
        label=label, path=label, rows=rows,
        columns={name: np.asarray([math.nan if v is None else v for v in values]) for name, values in columns.items()},
        missing={name: sum(v is None for v in values) for name, values in columns.items()}, outcomes={},
    )


def compared(first: Diagnostics, second: Diagnostics, column: str) -> Comparison:
    return next(c for c in comparisons((first, second)) if c.column == column)


def test_figures_are_those_of_numpy() -> None:
    values = [0.1, 0.5, 0.9, 0.4, 0.2, 0.8]
    found = column_statistics(source(alpha_mean=[*values, None, math.inf, math.nan]), "alpha_mean")
    assert (found.n, found.missing, found.not_finite) == (6, 1, 2)
    assert found.mean == pytest.approx(np.mean(values)) and found.std == pytest.approx(np.std(values, ddof=1))
    assert (found.minimum, found.maximum) == (0.1, 0.9)
    assert found.quantiles is not None
    assert list(found.quantiles) == ["5 %", "25 %", "50 %", "75 %", "95 %"]
    assert list(found.quantiles.values()) == pytest.approx(list(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])))


def test_one_value_and_none() -> None:
    single = column_statistics(source(alpha_mean=[0.4]), "alpha_mean")
    assert single.mean == 0.4 and single.std is None and single.interval is None
    nothing = column_statistics(source(alpha_mean=[math.inf, None]), "alpha_mean")
    assert nothing.n == 0 and nothing.mean is None and nothing.quantiles is None


def test_shares_and_the_kl_gap() -> None:
    found = file_statistics(source(alpha_mean=[0.2, 0.8, 0.19, 0.81], ess_ratio_mean=[0.8, 1.2, 1.3, None],
                                   kl_theta_mean=[0.1, 0.3, None, 1.0], kl_t_mean=[0.2, 0.1, 0.5, math.nan]))
    assert [(s.column, s.n, s.share) for s in found.shares] == [("alpha_mean", 4, 0.5), ("ess_ratio_mean", 3, 2 / 3)]
    assert found.kl_gap is not None
    assert (found.kl_gap.n, found.kl_gap.mean, found.kl_gap.mean_absolute) == (
        2, pytest.approx(0.05), pytest.approx(0.15))


def test_the_interval_is_that_of_the_normal_law_where_the_law_holds() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 4_000)
    found = column_statistics(source(alpha_mean=list(values)), "alpha_mean").interval
    assert found is not None
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(4_000)
    assert found.low == pytest.approx(float(np.mean(values)) - half, abs=0.15 * half)
    assert found.high == pytest.approx(float(np.mean(values)) + half, abs=0.15 * half)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        found = column_statistics(source(alpha_mean=list(rng.normal(0.5, 0.1, 60))), "alpha_mean").interval
        assert found is not None
        covered += found.low <= 0.5 <= found.high
    assert 175 <= covered <= 199


def test_the_same_file_gives_the_same_numbers(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "d.jsonl", older_rows(50))
    assert file_statistics(load(path)) == file_statistics(load(path))


def test_equal_files_differ_by_nothing_within_an_honest_interval() -> None:
    values = list(np.random.default_rng(0).normal(0.5, 0.1, 200))
    found = compared(source("a", alpha_mean=values), source("b", alpha_mean=values), "alpha_mean")
    assert found.difference == 0 and found.interval is not None
    assert found.interval.low < 0 < found.interval.high
    expected = 2 * 1.96 * float(np.std(values)) * math.sqrt(2 / 200)
    assert found.interval.high - found.interval.low == pytest.approx(expected, rel=0.15)


def test_a_real_difference_is_the_other_minus_the_base() -> None:
    rng = np.random.default_rng(1)
    low, high = source("low", alpha_mean=list(rng.normal(0.4, 0.1, 300))), source(
        "high", alpha_mean=list(rng.normal(0.6, 0.1, 100)))
    found = compared(low, high, "alpha_mean")
    assert (found.base, found.other) == ("low", "high")
    assert found.interval is not None and 0 < found.interval.low < found.difference < found.interval.high


def test_only_columns_that_both_have_are_compared() -> None:
    found = comparisons((source("a", alpha_mean=[0.1, 0.2], tokens=[3, 4]), source("b", alpha_mean=[0.3, 0.2])))
    assert [c.column for c in found] == ["alpha_mean"]
