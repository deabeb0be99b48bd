"""The laws that the checks of the theory measure hold, and a wrong solver is found out by them."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.experiments import interval
from qstar_core.experiments.theory import categorical, exact, gaussian, sequences, solved
from qstar_core.experiments.theory.section import TheorySection
from qstar_core.experiments.theory.settings import LEVELS, Sharpness, TheoryStudy
from qstar_core.experiments.theory.study import checked
from tests.laws import brute

SMALL = TheoryStudy(name="theory", cells=80, pairs=12, vocabulary=16, chains=5, symbols=4, length=4)


@pytest.fixture(scope="module")
def result():
    return checked(SMALL)


def test_the_same_settings_give_the_same_record(result):
    assert checked(SMALL) == result
    assert checked(SMALL.model_copy(update={"seed": 1})) != result
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_the_solvers_meet_their_conditions(result):
    for level in result.levels:
        assert {solver.method for solver in level.solvers} == {"kl_symmetry", "ess_balance", "reverse_kl_symmetry"}
        for solver in level.solvers:
            assert solver.largest_error < 1e-5 and solver.unsolved == 0, (level.name, solver)
        assert level.identity < 1e-5
        assert level.residual < 1e-4
        assert len(level.alpha) == level.pairs == SMALL.pairs


def test_a_wrong_solver_is_found_out(monkeypatch):
    right = solved.alpha

    def turned(method, theta, t):
        alpha, unsolved = right(method, theta, t)
        return 1 - alpha, unsolved

    monkeypatch.setattr(solved, "alpha", turned)
    level = categorical.checked(LEVELS[1], 12, 16, np.random.default_rng(0))
    assert min(solver.largest_error for solver in level.solvers) > 0.05
    assert level.residual > 0.1
    assert sequences.checked(SMALL, np.random.default_rng(0)).symmetry > 0.01


def test_on_a_grid_the_solvers_find_the_closed_form(result):
    for case in result.gaussians:
        assert case.kl_alpha_grid == pytest.approx(case.kl_alpha, abs=1e-6)
        assert case.ess_alpha_grid == pytest.approx(case.ess_alpha, abs=2e-3)
        assert case.chernoff == pytest.approx(case.kl_alpha, abs=1e-6)
    same, *others = result.gaussians
    assert (same.kl_alpha, same.ess_alpha) == pytest.approx((0.5, 0.5))
    assert all(abs(case.ess_alpha - 0.5) > abs(case.kl_alpha - 0.5) > 0.1 for case in others)


@given(st.floats(0.05, 0.95), st.floats(-2, 2), st.floats(0.3, 3), st.floats(-0.5, 0.5))
@settings(max_examples=20, deadline=None)
def test_the_mixture_of_gaussians_is_the_mixture_of_their_densities(alpha, shift, wide, lean):
    theta = gaussian.Gaussian.of((0.0, 0.0), (1.0, 0.0, 1.0))
    t = gaussian.Gaussian.of((shift, -shift), (wide, lean * wide, wide))
    q = gaussian.mixture(theta, t, alpha)
    points = np.random.default_rng(0).normal(size=(5, 2))
    away = q.logits(points) - ((1 - alpha) * theta.logits(points) + alpha * t.logits(points))
    assert np.ptp(away) < 1e-9 * (1 + abs(away).max())
    slope = (gaussian.log_z(theta, t, alpha + 1e-5) - gaussian.log_z(theta, t, alpha - 1e-5)) / 2e-5
    assert gaussian.kl(q, theta) - gaussian.kl(q, t) == pytest.approx(slope, abs=1e-6 * (1 + abs(slope)))
    assert gaussian.log_z(theta, t, 0.0) == pytest.approx(0, abs=1e-12)
    assert gaussian.log_z(theta, t, 1.0) == pytest.approx(0, abs=1e-12)


def test_the_exact_side_agrees_with_a_second_one_written_apart():
    rng = np.random.default_rng(3)
    for _ in range(5):
        theta, t = (exact.normalised(rng.normal(size=9) * 3) for _ in range(2))
        assert exact.kl_root(theta, t) == pytest.approx(brute.root(theta, t), abs=1e-9)
        assert exact.ess_root(theta, t) == pytest.approx(brute.ess_root(theta, t), abs=1e-9)
        assert exact.reverse_root(theta, t) == pytest.approx(brute.reverse_root(theta, t), abs=1e-9)
        assert exact.chernoff(theta, t)[0] == pytest.approx(brute.root(theta, t), abs=1e-6)
        assert exact.entropy(theta) == pytest.approx(brute.entropy(theta))


def test_by_token_costs_the_divergence_from_the_whole(result):
    found = result.sequences
    assert found.identity < 1e-5
    assert found.symmetry < 1e-4
    assert found.weight < 1e-4
    assert found.token_to_whole.value > 0.001
    assert sum(place.kl.value for place in found.positions) == pytest.approx(found.whole_to_token.value, rel=1e-6)


def test_one_token_is_a_whole_sequence():
    rng = np.random.default_rng(0)
    theta, t = (sequences.random_chain(4, 0.5, rng) for _ in range(2))
    found = sequences.compared(theta, t, 1)
    assert found.token_to_whole == pytest.approx(0, abs=1e-9)
    assert sequences.compared(theta, t, 3).token_to_whole > 1e-4


def test_a_chain_is_a_law_with_its_own_transitions():
    chain = sequences.random_chain(4, 0.5, np.random.default_rng(0))
    law = np.exp(chain.log_law(3))
    assert law.sum() == pytest.approx(1)
    assert law[2, 0, 3] == pytest.approx(np.exp(chain.log_rows[0, 2] + chain.log_rows[3, 0] + chain.log_rows[1, 3]))


def test_the_sharpest_pairs_stay_finite():
    level = Sharpness(name="needle", student=(0.01, 0.01), teacher=(0.01, 0.01))
    theta, t = categorical.drawn(level, 20, 32, np.random.default_rng(0))
    assert np.isfinite(theta).all() and np.isfinite(t).all()
    assert theta.min() < -500


@pytest.mark.parametrize("wrong", [{}, {"teacher": (1, 1), "noise": 1.0}, {"teacher": (2, 1)}, {"teacher": (0, 1)}])
def test_a_level_without_sense_is_refused(wrong):
    with pytest.raises(ValueError):
        Sharpness(name="level", student=(1, 1), **wrong)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    for make in (interval.mean_of, interval.typical_of):
        held = sum(found.low <= 1 <= found.high for found in (make(rng.normal(1, 1, 40)) for _ in range(200)))
        assert 178 <= held <= 199
    slopes = []
    for _ in range(100):
        x = rng.normal(size=40)
        slopes.append(interval.slope_of(x, 2 * x + rng.normal(size=40)))
    assert 85 <= sum(found.low <= 2 <= found.high for found in slopes) <= 100
    with pytest.raises(DataError, match="2 values"):
        interval.mean_of(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="correlation"):
        interval.correlation_of(np.ones(4), np.arange(4.0))
    with pytest.raises(DataError, match="slope"):
        interval.slope_of(np.zeros(5), np.arange(5.0))
    assert math.isclose(interval.mean_of(np.ones(4)).high, 1)


def test_the_section_is_the_same_bytes_and_tells_every_number(result):
    section = TheorySection("theory", "The theory", result)
    part, again = section.render(), section.render()
    assert part == again
    assert [drawing.name for drawing in part.drawings] == ["theory-plane", "theory-along", "theory-shortcuts",
                                                           "theory-price"]
    for drawing in part.drawings:
        ElementTree.fromstring(drawing.svg)
        assert f"figures/{drawing.name}.svg" in part.markdown and drawing.text and drawing.caption
    for level in result.levels:
        assert f"| {level.name} |" in part.markdown
        assert level.entropy_error.told() in part.markdown
    assert result.sequences.excess.told() in part.markdown


def test_names_in_a_spec_are_text(result):
    hostile = result.model_copy(update={"gaussians": tuple(
        case.model_copy(update={"name": "<script>|`x`$a$"}) for case in result.gaussians)})
    part = TheorySection("theory", "", hostile).render()
    assert "<script>" not in part.markdown.replace("\\<script\\>", "")
    for drawing in part.drawings:
        ElementTree.fromstring(drawing.svg)
