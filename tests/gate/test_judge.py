"""Every check passes, warns and fails where its limits say so, and says which samples are at fault and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qstar_core.config import GateSettings, Range
from qstar_core.errors import ConfigError
from qstar_core.gate.check import Limits, Measured
from qstar_core.gate.judge import CHECKS, check_names, decide, judge
from qstar_core.records import GateVerdict
from tests.gate import example as made

PASS, WARN, FAIL, NONE = GateVerdict.PASS, GateVerdict.WARN, GateVerdict.FAIL, GateVerdict.NOT_APPLICABLE
RANK = {PASS: 0, WARN: 1, FAIL: 2}


def test_a_healthy_round_passes_everything() -> None:
    found = made.checks()
    assert {check.verdict for check in found.values()} == {PASS}
    assert tuple(found) == CHECKS and len(CHECKS) == 19
    assert all(check.examples == () and check.cause == "" for check in found.values())


def column(**values: Any) -> dict[str, Any]:
    return {"samples": made.samples(**values)}


def text(**values: Any) -> dict[str, Any]:
    return {"texts": made.texts(**values)}


def some(share: float) -> Any:
    """True for about this share of the prompts, spread evenly."""
    return np.repeat(np.floor(np.arange(1, made.PROMPTS + 1) * share) > np.floor(np.arange(made.PROMPTS) * share),
                     made.DRAWS)


def words(first: float) -> Any:
    return np.tile([first, 8.0 - first, 2.0], (made.COUNT, 1))


def again(share: float) -> Any:
    return np.where(some(share), np.uint64(10**9), np.arange(made.COUNT, dtype=np.uint64))


# What passes for certain, what passes by its estimate alone, and what is outside.
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("keep rate", column(kept=some(0.9)), column(kept=some(0.34)), column(kept=some(0.2))),
    ("failed share", column(), column(failed=np.arange(made.COUNT) == 5), column(failed=some(0.1))),
    ("ESS ratio", column(ess_ratio_mean=1.1), column(ess_ratio_mean=made.per_prompt(0.2, 1.45)),
     column(ess_ratio_mean=made.per_prompt(0.2, 1.3))),
    ("divergent ESS ratio", column(divergent_ess_ratio_mean=1.5),
     column(divergent_ess_ratio_mean=made.per_prompt(0.1, 0.95)), column(divergent_ess_ratio_mean=0.3)),
    ("alpha", column(alpha_mean=0.75), column(alpha_mean=made.per_prompt(0.01, 0.42)), column(alpha_mean=0.85)),
    ("guard: alpha", column(alpha_mean=0.85), column(alpha_mean=made.per_prompt(0.8, 0.99)), column(alpha_mean=0.95)),
    ("guard: ESS ratio", column(ess_ratio_mean=1.9), column(ess_ratio_mean=made.per_prompt(0.2, 0.9)),
     column(ess_ratio_mean=2.5)),
    ("KL difference", column(kl_abs_difference_mean=0.04), column(kl_abs_difference_mean=made.per_prompt(0.0, 0.095)),
     column(kl_abs_difference_mean=0.06)),
    ("leak rate", text(), text(leaks=np.arange(made.COUNT) == 7), text(leaks=some(0.1))),
    ("hedging rate", text(hedges=0.2), text(hedges=made.per_prompt(0.0, 1.15)), text(hedges=2.0)),
    ("length PSI", text(), text(tokens=made.lengths() + some(0.4)), text(tokens=made.lengths() + 9)),
    ("length KS", text(), text(tokens=made.lengths() + made.per_prompt(0, 5)), text(tokens=made.lengths() + 9)),
    ("vocabulary PSI", text(),
     text(vocabulary=np.where(some(0.55)[:, None], words(7.5), words(4))), text(vocabulary=words(7.5))),
    ("duplicates", text(), text(hashes=again(0.08)), text(hashes=again(0.5))),
]


@pytest.mark.parametrize(("name", "good", "unsure", "bad"), CASES, ids=[case[0] for case in CASES])
def test_a_check_passes_warns_and_fails(name: str, good: dict[str, Any], unsure: dict[str, Any],
                                        bad: dict[str, Any]) -> None:
    refusing = GateSettings(refuse=tuple(check for check in CHECKS))
    assert made.checks(refusing, **good)[name].verdict is PASS
    doubtful = made.checks(refusing, **unsure)[name]
    assert doubtful.verdict is WARN, doubtful
    assert doubtful.value is not None and doubtful.interval is not None and doubtful.cause
    assert Limits(doubtful.low, doubtful.high).allow(doubtful.value)
    refused = made.checks(refusing, **bad)[name]
    assert refused.verdict is FAIL and refused.cause, refused


@pytest.mark.parametrize("name", [f"{suite} suite" for suite in ("schema", "data", "diagnostics", "traces")])
def test_a_broken_expectation_refuses_and_names_itself_and_its_rows(name: str) -> None:
    broken = {"suites": made.suites(**{name.split()[0]: ("column_values_to_be_unique(column=sample_id), 2 rows",)})}
    check = made.checks(**broken)[name]
    assert check.verdict is FAIL and check.value == 1 and "to_be_unique" in check.note
    assert [row.sample_id for row in check.examples] == ["s001"]
    assert made.checks(GateSettings(warn_only=(name,)), **broken)[name].verdict is WARN
    assert made.checks(suites=())[name].verdict is NONE


def test_the_row_count_at_its_threshold() -> None:
    for least, verdict in ((120, PASS), (121, FAIL)):
        assert made.checks(GateSettings(min_rows=least))["row count"].verdict is verdict
    assert made.checks(GateSettings(min_rows=121, warn_only=("row count",)))["row count"].verdict is WARN


def test_what_only_advises_warns_unless_it_is_asked_to_refuse() -> None:
    advice = {"divergent ESS ratio", "hedging rate", "length PSI", "length KS", "vocabulary PSI", "duplicates",
              "guard: alpha", "guard: ESS ratio"}
    for name, _, _, bad in CASES:
        assert made.checks(**bad)[name].verdict is (WARN if name in advice else FAIL), name
    for key in ("warn_only", "refuse"):
        with pytest.raises(ConfigError, match=f"gate.{key} names 'nothing'"):
            check_names(GateSettings(**{key: ("nothing",)}))
    with pytest.raises(ValidationError, match="warn_only and in refuse"):
        GateSettings(warn_only=("alpha",), refuse=("alpha",))


def test_the_strict_profile_narrows_and_never_widens() -> None:
    strict = GateSettings(profile="strict")
    for columns, name in (({"ess_ratio_mean": 1.15}, "ESS ratio"), ({"alpha_mean": 0.75}, "alpha")):
        assert made.checks(**column(**columns))[name].verdict is PASS
        assert made.checks(strict, **column(**columns))[name].verdict is FAIL
    found = made.checks(GateSettings(profile="strict", alpha=Range(low=0.4, high=0.9)))["alpha"]
    assert (found.low, found.high) == (0.4, 0.7)
    with pytest.raises(ValidationError, match="exclude each other"):
        GateSettings(profile="strict", ess_ratio=Range(low=0.0, high=0.5))


def test_the_worst_samples_are_named_with_their_own_values() -> None:
    own = np.full(made.COUNT, 0.95)
    own[[3, 50, 77, 90]] = (0.97, 0.99, 0.98, 0.96)
    found = made.checks(**column(alpha_mean=own))["alpha"]
    assert [e.sample_id for e in found.examples] == ["s050", "s077", "s003"]
    assert [e.value for e in found.examples] == pytest.approx([0.99, 0.98, 0.97])
    leaks = made.checks(**text(leaks=np.arange(made.COUNT) % 40 == 1))["leak rate"]
    assert [e.sample_id for e in leaks.examples] == ["s001", "s041", "s081"]


def test_means_are_over_tokens_and_not_over_samples() -> None:
    tokens, alpha = made.per_prompt(1, 99), made.per_prompt(0.0, 0.5)
    assert made.checks(**column(tokens=tokens, alpha_mean=alpha))["alpha"].value == pytest.approx(0.495)
    found = made.checks(**column(tokens=100, boundary_tokens=made.per_prompt(100, 90), ess_ratio_mean=np.where(
        made.per_prompt(0, 1) > 0, 1.1, np.nan)))
    assert found["ESS ratio"].value == pytest.approx(1.1)


def test_what_a_method_does_not_promise_is_not_asked_of_it() -> None:
    for method in ("fixed", "entropy", "confidence", "ess_balance", "reverse_kl_symmetry"):
        check = made.checks(method=method, **column(kl_abs_difference_mean=9.0))["KL difference"]
        assert check.verdict is NONE and check.value is None and method in check.note
    check = made.checks(**column(kl_abs_difference_mean=9.0, policy_tokens=1))["KL difference"]
    assert check.verdict is NONE and "policy" in check.note


def test_how_often_something_else_decided_alpha_is_told() -> None:
    found = made.checks(**column(clamped_tokens=1.5, policy_tokens=5))["alpha"]
    assert "15.0% of tokens clamped" in found.note and "50.0% of tokens set by a policy" in found.note
    assert "%" not in made.checks()["alpha"].note


def test_without_diagnostics_texts_or_history_there_is_nothing_to_measure() -> None:
    silent = dict.fromkeys(made.COLUMNS, np.nan)
    found = made.checks(texts=None, previous=None, earlier=np.empty(0, dtype=np.uint64), **column(**silent))
    measured = {name for name, check in found.items() if check.verdict is not NONE}
    assert measured == {"row count", "keep rate", "failed share", "schema suite", "data suite", "diagnostics suite",
                        "traces suite"}
    few = made.previous(tokens_N=made.lengths()[:49])
    assert "fewer than 50" in made.checks(previous=few)["length PSI"].note


def test_drift_tells_the_previous_version_and_what_changed() -> None:
    report = judge(GateSettings(), made.given(**text(vocabulary=words(7.5))))
    found = {check.name: check for check in report.checks}
    assert report.previous == "before-1" and "before-1" in found["length KS"].note
    assert "“one” +35.0 %" in found["vocabulary PSI"].note and "“two” -35.0 %" in found["vocabulary PSI"].note


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_threshold_and_a_value_are_numbers(bad: float) -> None:
    for make in (lambda: Range(low=bad, high=1.0), lambda: GateSettings(max_kl_difference=bad),
                 lambda: GateSettings(min_keep_rate=bad)):
        with pytest.raises(ValidationError):
            make()


VALUE = st.floats(-3, 3)


@given(VALUE, st.floats(0, 2), st.floats(0, 2), VALUE, VALUE, st.floats(0, 1), st.floats(0, 1),
       st.sampled_from([WARN, FAIL]))
def test_a_verdict_never_gets_worse_when_limits_get_wider(value: float, below: float, above: float, one: float,
                                                          other: float, down: float, up: float,
                                                          severity: GateVerdict) -> None:
    found = Measured(value, (value - below, value + above))
    low, high = sorted((one, other))
    narrow, wide = (decide(found, limits, severity) for limits in (Limits(low, high), Limits(low - down, high + up)))
    assert RANK[wide] <= RANK[narrow]
    assert (narrow is severity or severity is WARN) or low <= value <= high
    exact = decide(Measured(value), Limits(low, high), severity)
    assert exact is (PASS if low <= value <= high else severity)


@settings(max_examples=30, deadline=None)
@given(alpha=st.floats(0, 1), ratio=st.floats(0.1, 4))
def test_the_verdict_is_the_worst_of_the_checks(alpha: float, ratio: float) -> None:
    report = judge(GateSettings(), made.given(**column(alpha_mean=alpha, ess_ratio_mean=ratio)))
    found = {check.verdict for check in report.checks}
    assert report.verdict is (FAIL if FAIL in found else WARN if WARN in found else PASS)
    outside = not 0.2 - 1e-9 <= alpha <= 0.8 + 1e-9 or not 0.8 - 1e-9 <= ratio <= 1.2 + 1e-9
    assert (report.verdict is FAIL) == outside


@pytest.mark.parametrize(("rest", "verdict"), [(0.7, FAIL), (0.8, WARN)])
def test_examples_lie_on_the_side_that_broke(rest: float, verdict: GateVerdict) -> None:
    """A mean ESS ratio that is too low is not explained by a sample whose ratio is far too high."""
    values = np.full(made.COUNT, rest)
    values[3], values[7], values[9] = 2.71, 0.2, 0.1
    found = made.checks(GateSettings(refuse=CHECKS), **column(ess_ratio_mean=values))["ESS ratio"]
    assert found.verdict is verdict and found.value is not None
    shown = [(example.sample_id, example.value) for example in found.examples]
    assert shown[:2] == [("s009", pytest.approx(0.1)), ("s007", pytest.approx(0.2))]
    assert all(value is not None and value < 0.8 for _, value in shown)
    high = made.checks(**column(ess_ratio_mean=np.where(values == rest, 1.6, values)))["ESS ratio"]
    assert high.examples[0].sample_id == "s003"
