"""Better is promoted, anything else is kept, and what cannot be judged is an error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qstar_core.config import PromotionSettings, SetRole
from qstar_core.errors import ConfigError, DataError
from qstar_core.evaluation.score import Measure, Score
from qstar_core.promotion.decide import INFINITE, decide
from qstar_core.promotion.decision import Outcome
from tests.evaluation.scores import score, set_score, student

SETTINGS = PromotionSettings(max_kl=None)
N = 200


def answers(share: float, seed: int = 0, n: int = N) -> list[float]:
    """The hard problems are the same for every student."""
    return [float(hard < share) for hard in np.random.default_rng(seed).random(n)]


def measure(value: float, low: float | None = None) -> Measure:
    return Measure(name="m", value=value, low=low, high=None, n=9, method="x")


def failed(decision) -> set[str]:
    return {reason.name for reason in decision.reasons if not reason.passed}


def test_a_better_student_is_promoted():
    found = decide(student("old", answers(0.4)), student("new", answers(0.55), answers(0.4)), SETTINGS)
    assert found.outcome is Outcome.PROMOTE
    (reason,) = [reason for reason in found.reasons if reason.name == "target/accuracy better"]
    assert reason.p < 0.001 and reason.low < reason.value < reason.high and reason.threshold == 0.05
    assert (found.old, found.new) == ("old", "new")


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_a_worse_or_equal_student_is_kept_out(share):
    found = decide(student("old", answers(0.4)), student("new", answers(share)), SETTINGS)
    assert found.outcome is Outcome.KEEP
    assert "target/accuracy better" in failed(found)
    assert "McNemar" in found.objections


def test_who_forgot_the_second_task_is_kept_out():
    pair = student("old", answers(0.4), answers(0.8, 1)), student("new", answers(0.9), answers(0.6, 1))
    found = decide(*pair, SETTINGS)
    assert failed(found) == {"second/accuracy not worse"}


def test_a_margin_must_be_shown_by_enough_problems():
    """On eight problems nobody forgot anything, and it proves nothing."""
    few = student("old", answers(0.4), [1.0] * 8), student("new", answers(0.9), [1.0] * 8)
    assert "second/accuracy not worse" in failed(decide(*few, SETTINGS))
    many = student("old", answers(0.4), [1.0] * N), student("new", answers(0.9), [1.0] * N)
    assert decide(*many, SETTINGS).outcome is Outcome.PROMOTE


def promotions(trials: int, gain: float) -> float:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(trials):
        hard, second = rng.random(150), rng.random(150)
        old, new = ([float(x) for x in rng.random(150) < hard * (1 - more) + more] for more in (0.0, gain))
        kept = [[float(x) for x in rng.random(150) < 0.9 + 0.1 * second] for _ in range(2)]
        found += decide(student("old", old, kept[0]), student("new", new, kept[1]), SETTINGS).outcome is Outcome.PROMOTE
    return found / trials


def test_students_alike_are_seldom_promoted_and_better_ones_mostly():
    assert promotions(15, 0.0) <= 0.2
    assert promotions(15, 0.3) >= 0.8


@pytest.mark.slow
def test_the_rate_of_wrong_promotions():
    assert promotions(1_000, 0.0) <= 0.06


@pytest.mark.parametrize(("length", "passed"), [(19, True), (21, False), (5.1, True), (4.9, False)])
def test_length_may_drift_so_far(length, passed):
    found = decide(student("old", answers(0.4)), student("new", answers(0.8), length=length), SETTINGS)
    assert ("target/length drift" not in failed(found)) is passed


@pytest.mark.parametrize(("kl", "passed"), [(measure(1.9), True), (measure(2.1), False), (INFINITE, False)])
def test_kl_is_bounded(kl, passed):
    found = decide(student("old", answers(0.4)), student("new", answers(0.8)), PromotionSettings(), kl=kl)
    assert (found.outcome is Outcome.PROMOTE) is passed
    with pytest.raises(DataError, match="was not measured"):
        decide(student("old", answers(0.4)), student("new", answers(0.8)), PromotionSettings())


def test_a_judge_may_have_a_say():
    settings = PromotionSettings(max_kl=None, min_win_rate=0.5)
    pair = student("old", answers(0.4)), student("new", answers(0.8))
    assert decide(*pair, settings, win_rate=measure(0.6, 0.51)).outcome is Outcome.PROMOTE
    assert decide(*pair, settings, win_rate=measure(0.6, 0.49)).outcome is Outcome.KEEP
    with pytest.raises(DataError, match="no win rate"):
        decide(*pair, settings)


def test_a_gain_may_be_asked_for():
    settings = PromotionSettings(max_kl=None, min_gain=0.2)
    pair = student("old", answers(0.4)), student("new", answers(0.55))
    assert failed(decide(*pair, settings)) == {"target/accuracy gain"}


def test_of_perplexity_less_is_better():
    settings = PromotionSettings(max_kl=None, measure="perplexity", margins={}, max_length_ratio=None)
    low, high = (score(name, set_score("target", SetRole.TARGET, perplexity=np.linspace(a, a + 1, 40)))
                 for name, a in (("low", 1.0), ("high", 1.2)))
    assert decide(high, low, settings).outcome is Outcome.PROMOTE
    assert decide(low, high, settings).outcome is Outcome.KEEP


def test_reports_have_no_say():
    def with_report(one: Score, values) -> Score:
        report = set_score("ood", SetRole.REPORT, accuracy=values)
        return one.model_copy(update={"sets": (*one.sets, report)})

    pair = with_report(student("old", answers(0.4)), [1.0] * 50), with_report(student("new", answers(0.8)), [0.0] * 50)
    assert decide(*pair, SETTINGS).outcome is Outcome.PROMOTE


def test_the_first_student_and_the_same_one():
    one = student("one", answers(0.4))
    assert decide(None, one, SETTINGS).outcome is Outcome.PROMOTE
    assert failed(decide(one, one, SETTINGS)) == {"same"}


def test_what_cannot_be_compared():
    old, new = student("old", answers(0.4)), student("new", answers(0.8))
    with pytest.raises(DataError, match="different suites"):
        decide(old, student("new", answers(0.8), suite="other"), SETTINGS)
    for pair in ((None, new.model_copy(update={"final": True})), (old.model_copy(update={"final": True}), new)):
        with pytest.raises(ConfigError, match="final suite never decides"):
            decide(*pair, SETTINGS)
    with pytest.raises(DataError, match=r"target has no measure perplexity"):
        decide(old, new, PromotionSettings(max_kl=None, margins={"perplexity": 1.0}))
    with pytest.raises(ConfigError, match="neither more nor less"):
        decide(old, new, PromotionSettings(max_kl=None, measure="length"))
    with pytest.raises(ConfigError, match="no figure 'charm'"):
        decide(old, new, PromotionSettings(max_kl=None, margins={"charm": 1.0}))
    nan = student("new", answers(0.8))
    nan.sets[0].outcomes["accuracy"] = ((math.nan, 1.0), *nan.sets[0].outcomes["accuracy"][1:])
    with pytest.raises(DataError, match="no number"):
        decide(old, nan, SETTINGS)
    with pytest.raises(ValueError, match="finite"):
        Measure(name="x", value=math.nan, low=None, high=None, n=1, method="x")
