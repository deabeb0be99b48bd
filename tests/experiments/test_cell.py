"""Cells for real: the same numbers bit for bit, one beginning for all arms, and every kind of data."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from qstar_core.errors import EngineError
from qstar_core.experiments.cell import run_cell
from qstar_core.experiments.pool import Pool
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.work import Work
from qstar_core.home import subfolder
from qstar_core.records import Record
from tests.experiments.small import SETTINGS, SIZES, works

SECONDS = {"wall_seconds", "cpu_seconds", "created"}
SPENT = {"sampling_seconds", "training_seconds"}
RL = {"training": {"generations": 4, "batch_size": 8, "micro_batch": 8, "max_steps": 2, "max_new_tokens": 24}}


def done(work: Work) -> CellResult:
    return run_cell(work, lambda what, done, total: None)


def told(result: Record) -> dict[str, Any]:
    """Everything but seconds."""
    found = result.model_dump(exclude=SECONDS)
    found["points"] = [{name: value for name, value in point.items() if name not in SPENT} for point in found["points"]]
    return found


def test_a_cell_is_the_same_bit_for_bit_in_this_process_and_in_a_worker() -> None:
    ours, other = works(arms=["kl-symmetry", "gold"])
    first = done(ours)
    with Pool(1) as pool:
        before_it = pool.run(other)
        assert told(pool.run(ours)) == told(first)
    assert isinstance(before_it, CellResult) and before_it.points[0].right == first.points[0].right
    assert told(before_it)["points"][1] != told(first)["points"][1]
    assert not list(subfolder("cells").iterdir()), "a cell leaves nothing but its result"

    before, after = first.points
    assert (before.round, before.kl_initial, before.drawn) == (0, 0.0, 0) and before.measures["target/accuracy"] > 0
    assert after.drawn == 96 and after.kept == 96 - sum(first.mixing.dropped.values()) and after.tokens > after.kept
    assert after.kl_initial and after.gradient_variance and len(after.right) == 12
    assert first.mixing and 0.2 < first.mixing.ess_ratio < 5 and first.mixing.alpha_by_position[0][3] == 96
    assert len(first.mixing.alpha) == 96 and 0 < first.mixing.alpha_within <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "changes"), [
    ("rft", {}), ("halves", {}), ("hinted-decoding", {}), ("planted-worse", {}), ("dpo", {}), ("dpo-kl-symmetry", {}),
    ("rloo", RL), ("grpo", RL)])
def test_every_kind_of_data_makes_a_student(arm: str, changes: dict[str, Any]) -> None:
    sizes = {**SIZES, "draws": 2, "prompts": 40}
    arms = {arm: {"settings": changes}}
    (work,) = works(arms=arms, sizes=sizes)
    result = done(work)
    after = result.points[1]
    assert after.kl_initial, "it learnt something"
    assert after.kept > 0 and after.tokens > after.kept
    assert after.drawn == {"rloo": 16, "grpo": 16, "dpo-kl-symmetry": 160}.get(arm, 80)
    assert (result.mixing is None) is (arm in ("rft", "dpo", "rloo", "grpo", "halves"))


def test_a_round_that_keeps_nothing_leaves_the_student_as_it_was() -> None:
    nothing = {**SETTINGS, "filters": [{"name": "length", "options": {"min_tokens": 60}}]}
    (work,) = works(arms=["kl-symmetry"], settings=nothing, sizes={**SIZES, "rounds": 2, "prompts": 8})
    points = done(work).points
    assert [point.kept for point in points] == [0, 0, 0] and [point.drawn for point in points] == [0, 8, 16]
    assert {point.right for point in points} == {points[0].right} and points[2].kl_initial == pytest.approx(0, abs=1e-6)
    assert points[2].gradient_variance is None


def test_kept_tokens_are_bounded_and_draws_stop_when_there_are_enough() -> None:
    few, many = (works(arms=["kl-symmetry"], sizes={**SIZES, "prompts": 40, "draws": 3, "tokens": tokens})[0]
                 for tokens in (100, 1500))
    less, more = done(few).points[1], done(many).points[1]
    assert less.drawn == 40 and 100 <= less.tokens < 150
    assert more.drawn == 80 and 1500 <= more.tokens < 1550


@pytest.mark.slow
def test_a_worker_that_dies_is_told() -> None:
    (work,) = works(arms=["gold"])
    steps: list[str] = []
    with pytest.raises(EngineError, match="the process that worked on main default/gold/1 died"), Pool(
            1, lambda key, what, done, total: _kill(pool, steps, what)) as pool:
        pool.run(work)
    assert steps == ["sampling"]


def _kill(pool: Pool, steps: list[str], what: str) -> None:
    steps.append(what)
    for pid in pool._executor._processes:
        os.kill(pid, signal.SIGKILL)
