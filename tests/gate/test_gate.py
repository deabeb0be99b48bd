"""Each check passes, warns and fails where its range says;
what cannot be measured is not applicable, and NaN is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qstar_core.config import GateSettings, Range
from qstar_core.gate import GateInput, judge
from qstar_core.records import GateCheck, GateVerdict, MixSummary

PASS, WARN, FAIL, NONE = GateVerdict.PASS, GateVerdict.WARN, GateVerdict.FAIL, GateVerdict.NOT_APPLICABLE


def summary(**changes: Any) -> MixSummary:
    values: dict[str, Any] = {
        "tokens": 10, "alpha_mean": 0.5, "alpha_std": 0.1, "kl_theta_mean": 0.1, "kl_t_mean": 0.1,
        "kl_abs_difference_mean": 0.001, "ess_ratio_mean": 1.0, "ess_ratio_std": 0.1, "ess_ratio_geometric_mean": 1.0,
        "divergent_tokens": 4, "divergent_ess_ratio_mean": 1.0, "log_z_sum": -1.0, "logp_theta_sum": -5.0,
        "logp_t_sum": -5.0, "logq_sum": -4.0, "boundary_tokens": 0, "clamped_tokens": 0, "unconverged_tokens": 0,
        "entropy_theta_mean": 0.8, "entropy_t_mean": 0.5, "policy_tokens": 0,
    }
    return MixSummary(**(values | changes))


def checks(summaries: list[MixSummary] | None = None, gate: GateSettings | None = None,
           **changes: Any) -> dict[str, GateCheck]:
    values: dict[str, Any] = {"samples": 100, "kept": 50, "failed": 0, "method": "kl_symmetry",
                              "summaries": [summary()] if summaries is None else summaries}
    report = judge(gate or GateSettings(), GateInput(**(values | changes)))
    return {check.name: check for check in report.checks}


def test_a_healthy_round_passes_everything() -> None:
    assert {check.verdict for check in checks().values()} == {PASS}
    assert len(checks()) == 9


@pytest.mark.parametrize(("name", "given_", "verdict"), [
    ("row count", {"kept": 30}, PASS), ("row count", {"kept": 29}, FAIL),
    ("keep rate", {"kept": 40}, PASS), ("keep rate", {"kept": 39}, FAIL),
    ("failed share", {"failed": 5}, PASS), ("failed share", {"failed": 6}, FAIL),
])
def test_the_counts_at_their_thresholds(name: str, given_: dict[str, int], verdict: GateVerdict) -> None:
    gate = GateSettings(min_rows=30, min_keep_rate=0.4, max_failed_share=0.05)
    assert checks(gate=gate, **given_)[name].verdict is verdict


RANGED = [
    ("ESS ratio", "ess_ratio_mean", 0.8, 1.2, FAIL),
    ("divergent ESS ratio", "divergent_ess_ratio_mean", 0.5, 2.0, WARN),
    ("alpha", "alpha_mean", 0.2, 0.8, FAIL),
    ("guard: alpha", "alpha_mean", 0.1, 0.9, WARN),
    ("guard: ESS ratio", "ess_ratio_mean", 0.5, 2.0, WARN),
    ("KL difference", "kl_abs_difference_mean", None, 0.05, FAIL),
]


@pytest.mark.parametrize(("name", "field", "low", "high", "worst"), RANGED)
def test_the_measures_at_their_thresholds(
    name: str, field: str, low: float | None, high: float, worst: GateVerdict
) -> None:
    for bound, direction in ((low, -math.inf), (high, math.inf)):
        if bound is not None:
            assert checks([summary(tokens=1, **{field: bound})])[name].verdict is PASS
            beyond = checks([summary(tokens=1, divergent_tokens=1, **{field: math.nextafter(bound, direction)})])[name]
            assert beyond.verdict is worst
            assert (beyond.low, beyond.high) == (low, high)


def test_what_a_method_does_not_promise_is_not_asked_of_it() -> None:
    for method in ("fixed", "entropy", "confidence", "ess_balance", "reverse_kl_symmetry"):
        check = checks([summary(kl_abs_difference_mean=9.0)], method=method)["KL difference"]
        assert check.verdict is NONE and check.value is None and method in check.note


def test_a_policy_breaks_the_promise_of_the_method() -> None:
    check = checks([summary(kl_abs_difference_mean=9.0, policy_tokens=1)])["KL difference"]
    assert check.verdict is NONE and "policy" in check.note


def test_how_often_something_else_decided_alpha_is_told() -> None:
    found = checks([summary(clamped_tokens=3), summary(policy_tokens=10)])["alpha"]
    assert "15.0% of tokens clamped" in found.note and "50.0% of tokens set by a policy" in found.note
    assert "%" not in checks()["alpha"].note


def test_nothing_to_measure_is_not_applicable_and_no_rows_is_a_failure() -> None:
    found = checks([], samples=0, kept=0)
    assert found.pop("row count").verdict is FAIL
    assert {check.verdict for check in found.values()} == {NONE}
    assert {check.value for check in found.values()} == {None}


def test_samples_without_a_ratio_leave_the_others_theirs() -> None:
    silent = summary(tokens=1000, boundary_tokens=1000, ess_ratio_mean=None, divergent_tokens=0,
                     divergent_ess_ratio_mean=None)
    found = checks([silent, summary(ess_ratio_mean=1.1, divergent_ess_ratio_mean=1.5)])
    assert found["ESS ratio"].value == pytest.approx(1.1)
    assert found["divergent ESS ratio"].value == pytest.approx(1.5)
    assert checks([silent])["ESS ratio"].verdict is NONE
    assert checks([silent])["guard: ESS ratio"].verdict is NONE


COUNTED = st.tuples(st.integers(1, 50), st.integers(0, 20), st.floats(0, 1), st.floats(0.1, 5))


@given(st.lists(COUNTED, min_size=1, max_size=10))
def test_means_are_over_tokens_and_not_over_samples(given_: list[tuple[int, int, float, float]]) -> None:
    summaries = [summary(tokens=regular + boundary, boundary_tokens=boundary, alpha_mean=alpha, ess_ratio_mean=ratio,
                         divergent_tokens=regular, divergent_ess_ratio_mean=ratio)
                 for regular, boundary, alpha, ratio in given_]
    found = checks(summaries)
    alphas = [alpha for regular, boundary, alpha, _ in given_ for _ in range(regular + boundary)]
    ratios = [ratio for regular, _, _, ratio in given_ for _ in range(regular)]
    assert found["alpha"].value == pytest.approx(sum(alphas) / len(alphas))
    assert found["ESS ratio"].value == pytest.approx(sum(ratios) / len(ratios))
    assert found["divergent ESS ratio"].value == pytest.approx(sum(ratios) / len(ratios))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["alpha_mean", "ess_ratio_mean", "divergent_ess_ratio_mean",
                                   "kl_abs_difference_mean"])
def test_nan_never_reaches_a_check(field: str, bad: float) -> None:
    with pytest.raises(ValidationError):
        summary(**{field: bad})
    slipped_in = summary().model_copy(update={field: bad})
    for slipped in ([slipped_in], [summary(), slipped_in]):
        with pytest.raises(ValidationError):  # no comparison with NaN is ever true: it must not come so far
            checks(slipped)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_threshold_is_a_number(bad: float) -> None:
    with pytest.raises(ValidationError):
        Range(low=bad, high=1.0)
    with pytest.raises(ValidationError):
        GateSettings(max_kl_difference=bad)
    with pytest.raises(ValidationError):
        GateSettings(min_keep_rate=bad)


def test_warn_only_softens_a_failure_and_nothing_else() -> None:
    gate = GateSettings(warn_only=("alpha", "row count"))
    found = checks([summary(alpha_mean=0.95, ess_ratio_mean=3.0)], gate)
    assert (found["alpha"].verdict, found["ESS ratio"].verdict, found["row count"].verdict) == (WARN, FAIL, PASS)
    assert found["alpha"].value == pytest.approx(0.95)


@given(alpha=st.floats(0, 1), kept=st.integers(0, 100), ratio=st.floats(0.1, 4))
def test_the_verdict_is_the_worst_of_the_checks(alpha: float, kept: int, ratio: float) -> None:
    report = judge(GateSettings(), GateInput(100, kept, 0, "kl_symmetry", [summary(alpha_mean=alpha,
                                                                                   ess_ratio_mean=ratio)]))
    found = {check.verdict for check in report.checks}
    assert report.verdict is (FAIL if FAIL in found else WARN if WARN in found else PASS)
    assert (report.verdict is FAIL) == (kept < 30 or not 0.2 <= alpha <= 0.8 or not 0.8 <= ratio <= 1.2)
