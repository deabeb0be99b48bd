"""A planted worse arm ranks last, an identical one is not told apart more often than the level says, and intervals
hold the truth; what cannot be compared is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.experiments.statistics.comparing import accuracy, compare, holm, permuted, ranked
from qstar_core.experiments.statistics.efficiency import area, budget_of, efficiency, height, level_of, reach, reached
from qstar_core.experiments.statistics.estimate import over_seeds, share_interval
from qstar_core.experiments.statistics.lines import Line, arranged
from qstar_core.experiments.statistics.measures import measured
from qstar_core.experiments.statistics.noise import Noise, Noises, noise_of
from qstar_core.experiments.statistics.resampling import Curve, resampled
from tests.experiments.planted import MIXING, cells, planted


def lines(final: dict[str, float], seeds: int = 3, **how: object) -> dict[str, Line]:
    wanted = cells(tuple(final), seeds=range(seeds))
    return {line.arm: line for line in arranged(planted(wanted, final, **how), wanted)}


def test_a_planted_worse_arm_ranks_last_and_is_significantly_so() -> None:
    found = lines({"qstar": 0.7, "worse": 0.35, "other": 0.68}, problems=200, noise=0.01)
    assert ranked(list(found.values()))[-1][0].arm == "worse"
    adjusted = holm([compare(found[arm], found["worse"]).p for arm in ("qstar", "other")])
    assert max(adjusted) < 0.05


def test_an_arm_against_itself_is_no_different() -> None:
    line = lines({"a": 0.6})["a"]
    found = compare(line, line)
    assert found.p == found.p_students == 1.0 and (found.win_rate.low, found.win_rate.high) == (0.5, 0.5)


def test_the_win_rate_counts_ties_half() -> None:
    found = lines({"a": 0.7, "b": 0.5}, noise=0.05)
    both = np.stack([found[arm].right_S_R_N[:, -1] for arm in ("a", "b")])
    counted = (both[0] > both[1]).mean() + (both[0] == both[1]).mean() / 2
    assert compare(found["a"], found["b"]).win_rate.value == pytest.approx(counted)
    swapped = compare(found["b"], found["a"])
    assert swapped.win_rate.value == pytest.approx(1 - counted)
    assert swapped.for_seeds == compare(found["a"], found["b"]).against_seeds


def identical(worlds: int, seeds: int, noise: float) -> tuple[float, float]:
    """How often equal arms are told apart: as arms, and as these students."""
    found = [lines({"a": 0.6, "b": 0.6}, seeds, world=world, noise=noise, problems=80) for world in range(worlds)]
    compared = [compare(one["a"], one["b"]) for one in found]
    return (float(np.mean([one.p < 0.05 for one in compared])),
            float(np.mean([one.p_students < 0.05 for one in compared])))


def test_identical_arms_are_told_apart_about_as_often_as_the_level() -> None:
    rate, students = identical(60, 3, 0.08)
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert students > rate  # other seeds give other students, which a test of the students alone does not know


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "noise"), [(2, 0.05), (3, 0.0), (3, 0.08), (5, 0.08)])
def test_identical_arms_are_told_apart_about_as_often_as_the_level_in_many_worlds(seeds: int, noise: float) -> None:
    rate, _ = identical(400, seeds, noise)
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def told_apart(worlds: int, seeds: int, noise: float, calm: float | None = None) -> float:
    """How often two of several equal arms are, by the noise of all; the others may vary otherwise than the two."""
    count = 0
    for world in range(worlds):
        found = {**lines(dict.fromkeys("ab", 0.6), seeds, world=world, noise=noise, problems=80),
                 **lines(dict.fromkeys("cdefgh", 0.6), seeds, world=world, noise=noise if calm is None else calm,
                         problems=80)}
        count += compare(found["a"], found["b"], noise_of(list(found.values()))).p < 0.05
    return count / worlds


def test_the_noise_of_all_arms_keeps_the_level_and_sees_more() -> None:
    assert told_apart(40, 2, 0.1) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    found = lines({**dict.fromkeys("abcdef", 0.6), "worse": 0.45}, noise=0.0, problems=200)
    noise = noise_of(list(found.values()))
    alone, beside = compare(found["a"], found["worse"]), compare(found["a"], found["worse"], noise)
    assert beside.p < 0.05 < alone.p and beside.win_rate.value == alone.win_rate.value


def test_students_that_learn_nothing_do_not_make_the_others_look_sure() -> None:
    """Where the noise is that of the average alone, this is 0.15 and more."""
    assert told_apart(150, 3, 0.15, calm=0.0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_an_arm_varies_as_its_own_seeds_do_or_as_the_average_whichever_is_more() -> None:
    noises = Noises(Noise(0.01, 20.0), {("wild", ()): Noise(0.09, 2.0), ("calm", ()): Noise(0.0, 2.0)})
    wild, calm, alone = (replace(lines({"a": 0.6})["a"], arm=arm) for arm in ("wild", "calm", "alone"))
    assert [noises.of(line).variance for line in (wild, calm, alone)] == [0.09, 0.01, 0.01]
    assert noises.pair(calm, alone) == Noise(0.005, 40.0)
    both = noises.pair(wild, calm)
    assert both.variance == pytest.approx(0.025)
    assert both.freedom == pytest.approx(0.1**2 / (0.09**2 / 2 + 0.01**2 / 20))
    nothing = Noises(Noise(0.0, 4.0), {})
    assert nothing.pair(calm, alone) == Noise(0.0, 4.0)


def test_one_seed_counts_the_noise_of_the_arms_that_have_more() -> None:
    wanted = (*cells(tuple("abcd"), seeds=range(4)), *cells(("rl",), seeds=(0,)), *cells(("dpo",), seeds=(0, 2)))
    found = {line.arm: line for line in arranged(planted(wanted, dict.fromkeys((*"abcd", "rl", "dpo"), 0.6),
                                                         noise=0.15, problems=200), wanted)}
    noise = noise_of(list(found.values()))
    assert noise is not None and noise.average.freedom == 9
    assert noise.average.variance == pytest.approx(0.15**2, rel=0.8) and noise.of(found["rl"]) == noise.average
    assert {arm: own.freedom for (arm, _), own in noise.own.items()} == {"a": 3, "b": 3, "c": 3, "d": 3, "dpo": 1}
    alone, beside = compare(found["a"], found["rl"]).win_rate, compare(found["a"], found["rl"], noise).win_rate
    assert beside.high - beside.low > 2 * (alone.high - alone.low) and (alone.seeds, beside.seeds) == (0, 1)
    assert noise_of([found["a"], found["b"]]) is None and noise_of([found["rl"]] * 3) is None


def test_what_a_seed_does_to_all_arms_is_no_noise_between_them() -> None:
    found = list(lines({"a": 0.5, "b": 0.6, "c": 0.7}).values())
    shift_S = np.array([-0.1, 0.0, 0.1])
    moved = [replace(line, right_S_R_N=line.right_S_R_N + shift_S[:, None, None]) for line in found]
    assert noise_of(moved).average.variance == pytest.approx(noise_of(found).average.variance)
    end_A_S = np.stack([line.right_S_R_N[:, -1].mean(1) for line in found])
    rest_A_S = end_A_S - end_A_S.mean(0) - end_A_S.mean(1, keepdims=True) + end_A_S.mean()
    assert noise_of(found).average == Noise(pytest.approx((rest_A_S**2).sum() / 4), 4.0), "arms by seeds, of 3 and 3"


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "noise", "calm"), [
    (1, 0.0, None), (2, 0.1, None), (3, 0.2, None), (5, 0.1, None), (3, 0.15, 0.0), (3, 0.1, 0.02), (5, 0.15, 0.0),
    (5, 0.0, 0.1)])
def test_the_noise_of_all_arms_keeps_the_level_in_many_worlds(seeds: int, noise: float, calm: float | None) -> None:
    assert told_apart(400, seeds, noise, calm) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def covered(worlds: int, noise: float, seeds: int = 3) -> float:
    """How often the interval of an accuracy holds its mean over all worlds."""
    found = [accuracy(lines({"a": 0.5}, seeds, world=world, noise=noise, hard=0.0, problems=60)["a"])
             for world in range(worlds)]
    return float(np.mean([one.low <= 0.5 <= one.high for one in found]))


def test_intervals_cover_what_seeds_and_problems_do() -> None:
    assert covered(60, 0.0) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)
    assert covered(60, 0.1) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "seeds"), [(0.0, 3), (0.05, 3), (0.1, 3), (0.1, 5)])
def test_intervals_cover_in_many_worlds(noise: float, seeds: int) -> None:
    assert covered(400, noise, seeds) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)


def test_an_interval_grows_with_the_noise_between_seeds_and_says_what_it_counts() -> None:
    calm, wild = (accuracy(lines({"a": 0.5}, noise=noise, problems=300)["a"]) for noise in (0.0, 0.2))
    assert wild.high - wild.low > 2 * (calm.high - calm.low)
    one = accuracy(lines({"a": 0.5}, seeds=1)["a"])
    assert (one.seeds, one.problems) == (0, 60) and (calm.seeds, calm.problems) == (3, 300)


def test_the_variance_is_that_of_its_three_parts() -> None:
    """Against the textbook's estimate for two crossed factors."""
    found = lines({"a": 0.5}, seeds=4, noise=0.2, problems=120)["a"]
    y_S_N = found.right_S_R_N[:, -1]
    S, N = y_S_N.shape
    rest_S_N = y_S_N - y_S_N.mean(1, keepdims=True) - y_S_N.mean(0) + y_S_N.mean()
    exact = (y_S_N.mean(1).var(ddof=1) / S + y_S_N.mean(0).var(ddof=1) / N
             - (rest_S_N**2).sum() / ((S - 1) * (N - 1) * S * N))
    variance, freedom = resampled([found], lambda curves: curves[0].accuracy_B_R[:, -1]).spread()
    assert variance == pytest.approx(exact, rel=0.1) and S - 1 <= freedom < S * N


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_the_permutation_test_counts_every_flip(gain: list[int]) -> None:
    flipped = [abs(sum(sign * one for sign, one in zip(signs, gain, strict=True)))
               for signs in product((-1, 1), repeat=len(gain))]
    assert permuted(np.asarray(gain)) == pytest.approx(np.mean([one >= abs(sum(gain)) for one in flipped]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_is_between_the_chance_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(one <= other <= min(1.0, one * len(p)) + 1e-12 for one, other in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert all(np.diff(np.asarray(adjusted)[order]) >= 0)


def test_holms_own_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def curve(y: list[float], x: list[float]) -> Curve:
    return Curve(np.asarray([y]), np.asarray([x]))


def test_a_level_is_reached_where_the_line_between_two_rounds_meets_it() -> None:
    steps = curve([0.2, 0.4, 0.3, 0.8], [0, 100, 200, 300])
    assert reached(steps, 0.3)[0] == pytest.approx(50)
    assert reached(steps, 0.55)[0] == pytest.approx(250)
    assert reached(steps, 0.2)[0] == 0
    assert reached(steps, 0.9)[0] == np.inf


def test_the_area_is_the_mean_height() -> None:
    assert height(curve([0.2, 0.6], [0, 100]), 100)[0] == pytest.approx(0.4)
    assert height(curve([0.2, 0.6], [0, 100]), 200)[0] == pytest.approx(0.5)
    assert height(curve([0.2, 0.6], [0, 100]), 0)[0] == 0.2


def test_an_arm_that_learns_with_fewer_samples_is_more_efficient_and_never_is_no_number() -> None:
    wanted = cells(("fast", "rl", "flat"))
    results = [*planted(wanted[:3], {"fast": 0.8}, kept=50, problems=200),
               *planted(wanted[3:6], {"rl": 0.8}, kept=100, problems=200),
               *planted(wanted[6:], {"flat": 0.3}, kept=100, problems=200)]
    found = {line.arm: line for line in arranged(results, wanted)}
    level = level_of(list(found.values()))
    assert level == pytest.approx(0.55, abs=0.06)
    ratio = efficiency(found["fast"], found["rl"], level)
    assert ratio.ratio is not None and ratio.ratio.value == pytest.approx(2, rel=0.2) and not ratio.at_least
    assert ratio.ratio.low <= ratio.ratio.value <= ratio.ratio.high
    assert ratio.ratio.value * efficiency(found["rl"], found["fast"], level).ratio.value == pytest.approx(1)
    never = reach(found["flat"], level)
    assert never.at is None and never.high is None and never.kept == 300
    assert efficiency(found["flat"], found["rl"], level).ratio.value == 0
    least = efficiency(found["fast"], found["flat"], level)
    assert least.at_least and least.ratio.high is None
    assert least.ratio.value == pytest.approx(300 / reach(found["fast"], level).at)
    assert efficiency(found["flat"], found["flat"], level).ratio is None
    assert area(found["fast"], budget_of(list(found.values()))).value > area(found["flat"], 150).value


def test_no_level_where_no_arm_improves() -> None:
    assert level_of(list(lines({"a": 0.02}, start=0.5, problems=200).values())) is None


@pytest.mark.parametrize(("share", "variance"), [(0.0, 0.0), (1.0, 0.0), (0.3, 0.001), (0.99, 0.001)])
def test_the_interval_of_a_share_stays_within_and_holds_it(share: float, variance: float) -> None:
    low, high = share_interval(share, variance, 10, 50)
    assert 0 <= low <= share <= high <= 1 and high - low > 0.01


def test_one_seed_has_no_interval_over_seeds() -> None:
    assert over_seeds(np.asarray([0.5])).low is None
    assert measured(lines({"a": 0.5})["a"], "wall").value == 13.0


def test_an_interval_over_seeds_keeps_to_what_is_possible() -> None:
    wanted = cells(("a",), seeds=(0, 1))
    results = [result.model_copy(update={"mixing": MIXING.model_copy(update={"leaked": 0.1 + 0.8 * result.cell.seed})})
               for result in planted(wanted, {"a": 0.5})]
    leaked = measured(arranged(results, wanted)[0], "leaked")
    assert (leaked.low, leaked.value, leaked.high) == (0.0, pytest.approx(0.5), 1.0)


def test_what_is_missing_twice_or_no_number_is_one_line() -> None:
    wanted = cells(("a", "b"))
    results = planted(wanted, {"a": 0.5, "b": 0.5})
    with pytest.raises(DataError, match="2 of 6 results are missing, the first is main: arm b, regime gap, seed 1"):
        arranged(results[:4], wanted)
    with pytest.raises(DataError, match="two results of one cell"):
        arranged([*results, results[0]], wanted)
    with pytest.raises(DataError, match="does not name"):
        arranged(results, wanted[:5])
    broken = results[0].model_copy(update={"wall_seconds": float("nan")})
    with pytest.raises(DataError, match="seed 0 holds a value that is no number"):
        arranged([broken, *results[1:]], wanted)
    other = planted(wanted[:1], {"a": 0.5}, world=9)
    with pytest.raises(DataError, match="does not begin as"):
        arranged([*other, *results[1:]], wanted)
    short = planted(wanted[:1], {"a": 0.5}, problems=40)
    with pytest.raises(DataError, match="another number of problems"):
        arranged([*results[1:], *short], wanted)
    fewer = planted(wanted[:1], {"a": 0.5}, rounds=2)
    with pytest.raises(DataError, match="other rounds"):
        arranged([*results[1:], *fewer], wanted)


def test_arms_are_compared_on_the_seeds_they_share() -> None:
    wanted = (*cells(("a",), seeds=range(5)), *cells(("slow",), seeds=range(3)), *cells(("late",), seeds=(7,)))
    found = {line.arm: line for line in arranged(planted(wanted, {"a": 0.5, "slow": 0.5, "late": 0.5}), wanted)}
    assert compare(found["a"], found["slow"]).seeds == 3
    with pytest.raises(DataError, match="share no seed"):
        compare(found["a"], found["late"])
