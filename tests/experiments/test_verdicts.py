"""Each criterion is met, not met or not to be judged by what was planted, and a loss is explained by numbers only."""

from __future__ import annotations

import re

from qstar_core.experiments.records import Mixing
from qstar_core.experiments.sections.facts import Facts, Kind
from qstar_core.experiments.sections.losses import explained, told
from qstar_core.experiments.statistics.comparing import compare, holm
from qstar_core.experiments.statistics.lines import Line, arranged
from qstar_core.experiments.verdicts import Criterion, Status, Verdict, judged, overall
from tests.experiments.planted import MIXING, cells, planted

BASE = ("rl", "gold")
LABELS = {"qstar": "q*", "rl": "RL", "gold": "gold"}


def verdict(final: dict[str, float], seeds: int = 3, baselines: tuple[str, ...] = BASE, baseline: str | None = "rl",
            arms: dict[str, Line] | None = None, **how: object) -> Verdict:
    arms = arms or some(final, seeds, **how)
    against = {name: compare(arms["qstar"], arms[name]) for name in baselines}
    return judged("gap", arms, LABELS, "qstar", baseline, against)


def some(final: dict[str, float], seeds: int = 3, **how: object) -> dict[str, Line]:
    wanted = cells(tuple(final), seeds=range(seeds))
    return {line.arm: line for line in arranged(planted(wanted, final, problems=200, **how), wanted)}


def found(verdict_: Verdict, name: str) -> Criterion:
    return next(one for one in verdict_.criteria if name in one.name)


def mixing(**changed: object) -> Mixing:
    return MIXING.model_copy(update=changed)


def test_an_arm_that_wins_everywhere_meets_what_it_should() -> None:
    one = verdict({"qstar": 0.85, "rl": 0.4, "gold": 0.5})
    assert found(one, "win rate").status is Status.MET and "ahead of 2 of 2" in found(one, "win rate").evidence
    assert found(one, "efficiency").status is Status.MET and "never" in found(one, "efficiency").evidence
    assert found(one, "ESS").status is Status.MET and found(one, "repetitions").status is Status.MET
    assert one.told == "success (4 of 5 met)"  # all gradients vary alike
    assert found(one, "gradient").status is Status.NOT_MET


def test_an_arm_that_loses_meets_nothing_of_it() -> None:
    one = verdict({"qstar": 0.3, "rl": 0.8, "gold": 0.5}, mixing={"qstar": mixing(ess_ratio=0.7)})
    assert {criterion.status for criterion in one.criteria} == {Status.NOT_MET}
    assert "behind 2" in found(one, "win rate").evidence and "never (300 kept)" in found(one, "efficiency").evidence
    assert one.told == "no success (0 of 5 met)"


def test_equal_arms_are_not_called_a_win() -> None:
    one = verdict({"qstar": 0.6, "rl": 0.6, "gold": 0.6})
    assert found(one, "win rate").status is Status.NOT_MET and "open 2" in found(one, "win rate").evidence
    assert found(one, "efficiency").status is Status.NOT_MET


def test_one_baseline_that_is_not_beaten_decides() -> None:
    one = verdict({"qstar": 0.7, "rl": 0.3, "gold": 0.7})
    assert found(one, "win rate").status is Status.NOT_MET and found(one, "efficiency").status is Status.MET


def test_what_was_not_measured_cannot_be_judged() -> None:
    one = verdict({"qstar": 0.8, "rl": 0.4, "gold": 0.5}, seeds=2, baseline=None, gradient_variance=None,
                  mixing={"qstar": None})
    assert [criterion.status for criterion in one.criteria[1:]] == [Status.UNKNOWN] * 4
    assert one.told == "open (0 of 5 met, 4 cannot be judged)"
    assert found(verdict({"qstar": 0.8, "rl": 0.4}, baselines=()), "win rate").status is Status.UNKNOWN
    assert found(verdict({"qstar": 0.8, "rl": 0.4, "gold": 0.4}, seeds=1), "ESS").status is Status.UNKNOWN


def test_an_ess_ratio_that_only_lies_within_on_average_is_not_met() -> None:
    wanted = cells(("qstar", *BASE))
    results = planted(wanted, {"qstar": 0.6, "rl": 0.5, "gold": 0.5}, problems=200)
    spread = [result.model_copy(update={"mixing": mixing(ess_ratio=0.8 + 0.2 * result.cell.seed)})
              for result in results]
    arms = {line.arm: line for line in arranged(spread, wanted)}
    ess = found(verdict({}, arms=arms), "ESS")
    assert ess.status is Status.NOT_MET and ess.evidence.startswith("1 (")


def test_gradients_that_vary_less_are_met() -> None:
    wanted = cells(("qstar", *BASE))
    results = [*planted(wanted[:3], {"qstar": 0.6}, gradient_variance=0.1),
               *planted(wanted[3:], {"rl": 0.5, "gold": 0.5}, gradient_variance=0.4)]
    arms = {line.arm: line for line in arranged(results, wanted)}
    gradient = found(verdict({}, arms=arms), "gradient")
    assert gradient.status is Status.MET and "RL 0.25" in gradient.evidence


def test_one_seed_against_it_is_no_consistent_repetition() -> None:
    arms = some({"qstar": 0.8, "rl": 0.4, "gold": 0.5}, seeds=5)
    against = {name: compare(arms["qstar"], arms[name]) for name in BASE}
    assert found(judged("gap", arms, LABELS, "qstar", "rl", against), "repetitions").status is Status.MET
    against["gold"] = against["gold"].model_copy(update={"for_seeds": 4, "against_seeds": 1})
    assert found(judged("gap", arms, LABELS, "qstar", "rl", against), "repetitions").status is Status.NOT_MET


def test_an_efficiency_that_may_as_well_be_below_is_not_met() -> None:
    wanted = cells(("qstar", *BASE))
    results = [*planted(wanted[:3], {"qstar": 0.8}, kept=70, problems=60),
               *planted(wanted[3:], {"rl": 0.8, "gold": 0.8}, kept=100, problems=60)]
    efficient = found(verdict({}, arms={line.arm: line for line in arranged(results, wanted)}), "efficiency")
    ((value, low),) = re.findall(r"common seeds ([\d.]+) \(([\d.]+)", efficient.evidence)
    assert float(low) < 1.2 < float(value) and efficient.status is Status.NOT_MET


def test_over_all_regimes_the_worst_decides() -> None:
    good, bad = verdict({"qstar": 0.85, "rl": 0.4, "gold": 0.5}), verdict({"qstar": 0.3, "rl": 0.8, "gold": 0.5})
    open_ = verdict({"qstar": 0.85, "rl": 0.4, "gold": 0.5}, baseline=None)
    together = overall([good, bad, open_])
    assert found(together, "efficiency").status is Status.NOT_MET and found(together, "ESS").status is Status.MET
    assert found(overall([good, open_]), "efficiency").status is Status.UNKNOWN


def test_a_loss_is_explained_by_what_differs_in_the_right_direction_and_by_nothing_else() -> None:
    leaky, clean = mixing(leaked=0.6, alpha=(0.3, 0.4)), mixing(leaked=0.1, alpha=(0.7, 0.8))
    arms = some({"qstar": 0.4, "rl": 0.8}, mixing={"qstar": leaky, "rl": clean})
    reasons = list(explained(arms["qstar"], arms["rl"]))
    assert [reason for reason in reasons if "leak the answer" in reason and "0.6 against 0.1" in reason]
    assert [reason for reason in reasons if "flatter model" in reason and "0.35 against 0.75" in reason]
    assert len(reasons) == 2
    assert not list(explained(arms["rl"], arms["qstar"]))
    high = some({"qstar": 0.4, "rl": 0.8}, mixing={"qstar": mixing(alpha=(0.6, 0.6)), "rl": clean})
    assert "teacher has less weight" in next(explained(high["qstar"], high["rl"]))


def test_the_text_says_where_it_loses_and_that_nothing_explains_it() -> None:
    arms = some({"qstar": 0.4, "rl": 0.8, "gold": 0.2})
    facts = Facts(name="main", title="", kind=Kind.COMPARISON, arms=LABELS, subject="qstar", baselines=BASE,
                  expected=())
    against = {name: compare(arms["qstar"], arms[name]) for name in BASE}
    adjusted = dict(zip(against, holm([one.p for one in against.values()]), strict=True))
    text = told(facts, arms, against, adjusted)
    assert "- q\\* wins against: gold.\n- no difference is shown to: none.\n- it loses to: RL.\n" in text
    assert "nothing that would explain it" in text and f"{against['rl'].win_rate.value:.2f}" in text
