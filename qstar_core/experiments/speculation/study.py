"""Acceptance and speed of every way to decode, on pairs of several costs, all in one run on one thread; and the test
that the samples are those of q*.

Seconds are CPU seconds of this process, and ratios are of runs taken in turn, so that other work on the machine weighs
little. Rows are in mid-sample: no prompt is read and no sample ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from qstar_core.engine.adaptive import Adaptive
from qstar_core.engine.gamma import tokens_per_round
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.statistics import Statistics
from qstar_core.engine.strategy import Strategy
from qstar_core.evaluation.intervals import wilson
from qstar_core.experiments.interval import Interval, typical_of
from qstar_core.experiments.speculation.exactness import checked, ways_of
from qstar_core.experiments.speculation.models import CONTEXT, Duo, parameters, random_duo, tiny_duo
from qstar_core.experiments.speculation.records import Cost, SpeculationResult, Way
from qstar_core.experiments.speculation.settings import CostPair, SpeculationStudy
from qstar_core.experiments.speculation.stand import Role, Stand
from qstar_core.experiments.work import Tell, Work, timed, whole

FORM = 1
LEVEL = 0.01
TEACHER = "teacher alone"
_MIDDLE = 100  # a position in mid-sample
_LIKELY = 0.85


def plan(study: SpeculationStudy) -> list[Work]:
    return whole(study, "speculation", FORM)


def run(work: Work, tell: Tell) -> SpeculationResult:
    return timed(lambda: measured(SpeculationStudy.model_validate(work.asked), tell))


def measured(settings: SpeculationStudy, tell: Tell) -> SpeculationResult:
    steps = 1 + len(settings.pairs) * len(settings.slots)
    with _one_thread():
        tell("testing for exactness", 0, steps)
        exactness, p_wrong = checked(settings)
        costs: list[Cost] = []
        for pair in settings.pairs:
            duo = _duo(pair, settings)
            for slots in settings.slots:
                tell(f"measuring {pair.name}, {slots} in flight", 1 + len(costs), steps)
                costs.append(_cost(pair, duo, slots, settings))
    return SpeculationResult(costs=tuple(costs), sequences=2**settings.length, exactness=exactness, p_wrong=p_wrong,
                             level=LEVEL)


def _duo(pair: CostPair, settings: SpeculationStudy) -> Duo:
    if pair.models == "tiny":
        return tiny_duo(pair.times)
    return random_duo(settings.hidden, pair.times, (settings.spread,) * 2, settings.seed)


def _cost(pair: CostPair, duo: Duo, slots: int, settings: SpeculationStudy) -> Cost:
    stand = Stand(duo.student, duo.teacher, duo.tokenizer, duo.pairs(slots), CONTEXT, duo.vocab)
    ways = ways_of(stand, settings.drafts)
    told = {name: Statistics() for name in ways}
    for name, way in ways.items():
        if isinstance(way, Adaptive):
            for _ in range(0, settings.settle, settings.tokens):
                stand.run(way, settings.tokens)
        else:
            stand.run(way, _rounds(way, settings.tokens), told[name])
    stand.run_alone("teacher", 2)
    turns = [_turn(stand, ways, told, settings.tokens) for _ in range(settings.turns)]
    forwards = [_forward(stand, "teacher") / _forward(stand, "student") for _ in range(settings.turns)]
    return Cost(
        pair=pair.name, slots=slots, student_parameters=parameters(duo.student),
        teacher_parameters=parameters(duo.teacher), cost=_typical(forwards),
        ways=tuple(_way(name, ways.get(name), told.get(name), turns) for name in (*ways, TEACHER)),
    )


def _turn(stand: Stand, ways: dict[str, Strategy], told: dict[str, Statistics], tokens: int) -> dict[str, float]:
    """Tokens a CPU second of all rows, by way. Only what the adaptive way does may differ between turns."""
    found = {}
    for name, way in ways.items():
        since = time.process_time()
        made = stand.run(way, _rounds(way, tokens), told[name] if isinstance(way, Adaptive) else None)
        found[name] = stand.count * made / (time.process_time() - since)
    since = time.process_time()
    made = stand.run_alone("teacher", tokens)
    found[TEACHER] = stand.count * made / (time.process_time() - since)
    return found


def _way(name: str, way: Strategy | None, told: Statistics | None, turns: list[dict[str, float]]) -> Way:
    drafts = told is not None and told.accepted + told.refused > 0
    return Way(
        name=name, speed=_typical([turn[name] for turn in turns]),
        over_lockstep=_typical([turn[name] / turn["lockstep"] for turn in turns]),
        over_teacher=_typical([turn[name] / turn[TEACHER] for turn in turns]),
        acceptance=_acceptance(told) if told is not None and drafts else None,
        tokens_per_teacher_forward=told.tokens_per_teacher_forward if told is not None else None,
        draft=_draft(way),
    )


def _draft(way: Strategy | None) -> int | None:
    if isinstance(way, Adaptive):
        return way.controller.in_use
    if isinstance(way, Speculative):
        return way.gamma
    return None if way is None else 0


def _acceptance(told: Statistics) -> Interval:
    judged = told.accepted + told.refused
    low, high = wilson(told.accepted, judged, 0.95)
    return Interval(value=told.accepted / judged, low=low, high=high)


def _rounds(way: Strategy, tokens: int) -> int:
    """Enough for about so many tokens; the context has room for more."""
    draft = _draft(way) or 0
    return tokens if draft == 0 else max(2, round(tokens / tokens_per_round(draft, _LIKELY)))


def _forward(stand: Stand, role: Role) -> float:
    position_B_T = torch.full((stand.count, 1), _MIDDLE)
    token_B_T = torch.zeros_like(position_B_T)
    since = time.process_time()
    for _ in range(5):
        stand.forward(role, token_B_T, position_B_T)
    return time.process_time() - since


def _typical(values: list[float]) -> Interval:
    return typical_of(np.array(values))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
