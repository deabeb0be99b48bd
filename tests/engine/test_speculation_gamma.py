"""The choice of the draft length against simulated machines, whose best choice is known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from qstar_core.engine.gamma import LONGEST, GammaController, RoundCost, ready_share, tokens_per_round
from tests.engine.models import Duo, by_id, jobs, prompts

LENGTHS = [0, *range(2, LONGEST + 1)]


@dataclass(frozen=True)
class Machine:
    """Seconds of a student's forward, of a teacher's over a block, and of mixing one round of so many positions."""

    student: float
    teacher: Callable[[int], float]
    rest: float
    rows: int
    noise: float = 0.1

    def cost(self, gamma: int, ready_B: np.ndarray, chance: np.random.Generator) -> RoundCost:
        width = 1 if gamma == 0 else gamma + (not ready_B.all())
        student, teacher, rest = np.array([self.student, self.teacher(width), self.rest * max(1, gamma)]) * np.exp(
            self.noise * chance.standard_normal(3))
        return RoundCost(gamma, self.rows, student, teacher, width, rest)


class Simulation:
    """Rows that accept every draft with the same chance. Returns seconds per token of a row."""

    def __init__(self, machine: Machine, seed: int = 0) -> None:
        self.machine = machine
        self.chance = np.random.default_rng(seed)
        self.ready_B = np.ones(machine.rows, dtype=bool)
        self.used: Counter[int] = Counter()

    def run(self, rounds: int, acceptance: float, choose: Callable[[], int],
            controller: GammaController | None = None) -> float:
        seconds = tokens = 0.0
        for number in range(rounds):
            gamma = choose()
            self.used[gamma] += 1
            cost = self.machine.cost(gamma, self.ready_B, self.chance)
            seconds += cost.total
            drafts = np.maximum(gamma, 1) - self.ready_B
            stood = self.chance.random((self.machine.rows, LONGEST)) < acceptance
            stood[np.arange(LONGEST) >= drafts[:, None]] = False
            accepted = np.cumprod(stood, axis=1).sum(1) if gamma else np.zeros_like(drafts)
            refused = accepted < drafts if gamma else np.zeros_like(self.ready_B)
            tokens += (accepted + refused + self.ready_B).mean() if gamma else 1.0
            self.ready_B = ~refused
            if controller is not None:
                controller.observe(cost)
                if gamma:
                    controller.judged(int(accepted.sum()), int(refused.sum()))
                elif number % 8 == 0 or controller.acceptance is None:
                    proposals = self.chance.random(self.machine.rows) < acceptance
                    controller.judged(int(proposals.sum()), int((~proposals).sum()))
        return seconds / tokens


def fixed(machine: Machine, acceptance: float, gamma: int, rounds: int = 600) -> float:
    return Simulation(machine, seed=9).run(rounds, acceptance, lambda: gamma)


def memory_bound(ratio: float, slope: float = 0.03) -> Callable[[int], float]:
    return lambda width: ratio * (1 + slope * (width - 1))


def compute_bound(ratio: float) -> Callable[[int], float]:
    return lambda width: ratio * width


def stepped(ratio: float) -> Callable[[int], float]:
    """A block is dearer than a token, and then hardly grows: what matrices do where vectors did."""
    return lambda width: ratio * (1.0 if width == 1 else 1.6 + 0.05 * width)


MACHINES = [
    Machine(1.0, memory_bound(3.0), 0.1, 1), Machine(1.0, memory_bound(1.0), 0.1, 1),
    Machine(1.0, stepped(3.0), 0.1, 1), Machine(1.0, memory_bound(3.0, 0.15), 0.2, 8),
    Machine(1.0, compute_bound(1.0), 0.3, 32), Machine(1.0, compute_bound(3.0), 0.1, 8),
    Machine(1.0, memory_bound(10.0, 0.01), 0.05, 4),
]


@pytest.mark.parametrize("gamma", range(1, 9))
@pytest.mark.parametrize("acceptance", [0.3, 0.7, 0.93, 1.0])
def test_the_expected_tokens_are_those_of_the_simulation(gamma, acceptance):
    machine = Machine(0.0, lambda width: 1.0, 0.0, 64, noise=0.0)  # a round is a second
    assert 1 / fixed(machine, acceptance, gamma, 400) == pytest.approx(tokens_per_round(gamma, acceptance), rel=0.02)
    assert 0 <= ready_share(gamma, acceptance) <= 1


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("acceptance", [0.4, 0.7, 0.93, 0.99])
def test_it_finds_the_best_length_and_never_loses_to_lockstep(machine, acceptance):
    controller = GammaController()
    simulation = Simulation(machine)
    alone = {gamma: fixed(machine, acceptance, gamma) for gamma in LENGTHS}
    early = simulation.run(300, acceptance, controller.choose, controller)
    assert early <= 1.03 * alone[0]
    late = simulation.run(1000, acceptance, controller.choose, controller)
    assert late <= 1.03 * alone[0]
    assert late <= 1.06 * min(alone.values())


def test_it_leaves_a_length_that_no_longer_pays_and_comes_back():
    machine = Machine(1.0, memory_bound(3.0), 0.1, 2)
    controller = GammaController()
    simulation = Simulation(machine)
    simulation.run(400, 0.95, controller.choose, controller)
    assert controller.in_use >= 4
    simulation.run(400, 0.2, controller.choose, controller)
    simulation.used.clear()
    simulation.run(400, 0.2, controller.choose, controller)
    assert simulation.used[0] + simulation.used[2] > 360
    simulation.run(600, 0.95, controller.choose, controller)
    assert controller.in_use >= 4


def test_it_notices_when_the_machine_changes():
    controller = GammaController()
    fast, slow = Machine(1.0, memory_bound(3.0), 0.1, 2), Machine(1.0, compute_bound(3.0), 0.1, 2)
    Simulation(fast).run(400, 0.9, controller.choose, controller)
    assert controller.in_use >= 3
    Simulation(slow).run(400, 0.9, controller.choose, controller)
    assert Simulation(slow).run(400, 0.9, controller.choose, controller) <= 1.03 * fixed(slow, 0.9, 0)


def test_the_first_round_of_a_length_measures_nothing():
    """It pays for what is made on first use: here a hundredfold."""
    machine = Machine(1.0, memory_bound(3.0), 0.1, 1, noise=0.0)
    controller = GammaController()
    seen: set[int] = set()
    controller.judged(93, 7)
    for _ in range(600):
        gamma = controller.choose()
        cost = machine.cost(gamma, np.ones(1, dtype=bool), np.random.default_rng(0))
        first = 1 if gamma in seen else 100
        seen.add(gamma)
        controller.observe(RoundCost(gamma, 1, cost.student * first, cost.teacher * first, cost.width, cost.rest))
    assert controller.rate(0) == pytest.approx(1 / 4.1)
    assert controller.in_use >= 6, "what the kernels took does not forbid to go on"


def test_without_acceptance_it_stays_in_lockstep():
    controller = GammaController()
    for _ in range(50):
        assert controller.choose() == 0
        controller.observe(RoundCost(0, 1, 1.0, 3.0, 1, 0.1))


def test_a_clock_that_stands_still_is_survived():
    controller = GammaController()
    controller.judged(90, 10)
    for _ in range(50):
        controller.observe(RoundCost(controller.choose(), 1, 0.0, 0.0, 1, 0.0))
    assert controller.in_use == 0


@pytest.mark.parametrize("script", [[0], [3], [0, 2, 5], [4, 0, 0, 7, 1]])
def test_whatever_is_chosen_the_tokens_are_those_of_lockstep(forty: Duo, script, monkeypatch):
    """Changes in mid-run included: rows whose teacher is behind catch up."""
    work = jobs(prompts(6, 40), draws=3)
    expected = by_id(forty.engine(3, speculation="off").generate(work))
    engine = forty.engine(3, speculation="auto", deterministic=False)
    chosen = itertools.cycle(script)
    monkeypatch.setattr(engine._strategy.controller, "choose", lambda: next(chosen))
    found = by_id(engine.generate(work))
    assert expected.keys() == found.keys()
    for name, one in expected.items():
        assert one.sample.token_ids == found[name].sample.token_ids
        np.testing.assert_allclose(one.trace.logq, found[name].trace.logq, atol=2e-3)
    assert set(engine.statistics.rounds) >= set(script)


def test_auto_watches_and_measures(forty: Duo):
    engine = forty.engine(4, max_tokens=30, speculation="auto", deterministic=False)
    list(engine.generate(jobs(prompts(8, 40), draws=4)))
    controller = engine._strategy.controller
    assert 0 < controller.acceptance < 1
    assert controller.rate(0) > 0


def test_with_fixed_shapes_auto_is_lockstep(forty: Duo):
    """What rounds cost must not decide what shape a forward has."""
    engine = forty.engine(3, speculation="auto", deterministic=True)
    list(engine.generate(jobs(prompts(8, 40), draws=4)))
    assert engine.statistics.rounds.keys() == {0}
    assert engine.statistics.tokens_per_teacher_forward == 1
