"""`make bench NAME=engine-speculation`: tokens per second with drafts, against lockstep, against a teacher that draws
for itself, and against what the formula predicts from measured costs; and that the choice of the draft length never
costs more than 3 %.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench, cpu_seconds
from qstar_core.engine.adaptive import Adaptive
from qstar_core.engine.gamma import ready_share, tokens_per_round
from qstar_core.engine.lockstep import Lockstep
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.statistics import Statistics
from qstar_core.experiments.speculation.models import dearer
from qstar_core.experiments.speculation.stand import Role, Stand

_LAYERS = {1: 3.4, 8: 3.0}  # slots: times the student's layers that make a teacher's forward three times as dear
_GOALS = {1: (2.0, 1.5), 8: (1.4, 1.05)}  # slots: over lockstep, over the teacher alone
_TURNS = 5
_ROWS = 24  # samples of other draws each: how many drafts of one stand is a matter of luck
_TOKENS = 24
_MIDDLE = 70  # a position in mid-sample


def main() -> None:
    bench = Bench()
    figures = [figure for count in _GOALS for figure in
               _against(bench.stand(dearer(bench.model, _LAYERS[count]), count))]
    figures.append(_never_slower(bench.stand(bench.model, 32)))
    record("engine-speculation", figures, "make bench NAME=engine-speculation",
           "SmolLM2-135M and a teacher of the same distribution with more layers (the others add nothing), hint "
           f"prompts, bfloat16, one thread, CPU seconds, {_ROWS} samples of each way in turn; the last figure is "
           "for the same model twice.")


def _against(stand: Stand) -> list[Figure]:
    gamma = _chosen(stand)
    told = Statistics()
    rounds = max(2, round(_TOKENS / tokens_per_round(gamma, 0.9)))
    runs: dict[str, Callable[[int], float]] = {
        "speculation": lambda draw: stand.run(Speculative(stand.models, stand.mixer, gamma, False), rounds, told, draw),
        "lockstep": lambda draw: stand.run(Lockstep(stand.models, stand.mixer), _TOKENS // 2, None, draw),
        "teacher": lambda _: stand.run_alone("teacher", _TOKENS // 2),
    }
    for run in runs.values():
        run(0)
    tokens, seconds = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0.0)
    for draw in range(stand.count, _ROWS + 1, stand.count):
        for name, run in runs.items():
            since = time.process_time()
            tokens[name] += run(draw)
            seconds[name] += time.process_time() - since
    speeds = {name: tokens[name] / seconds[name] for name in runs}
    acceptance = told.acceptance or 0.0
    predicted = _predicted(stand, gamma, acceptance)
    speed = speeds["speculation"]
    over = {name: speed / speeds[name] for name in runs}
    name, goals = f"engine-speculation-B{stand.count}", _GOALS[stand.count]
    dearness = _forward(stand, "teacher", 1) / _forward(stand, "student", 1)
    return [
        Figure(f"{name}-cost", dearness, "× the student's forward"),
        Figure(f"{name}-gamma", gamma, "tokens drafted, as auto chose"),
        Figure(f"{name}-acceptance", acceptance, "of the drafts stood"),
        Figure(f"{name}-tokens", told.tokens_per_teacher_forward or 0.0, "tokens per forward of the teacher"),
        Figure(f"{name}-over-lockstep", over["lockstep"], "×", goals[0], at_most=False),
        Figure(f"{name}-over-teacher", over["teacher"], "×", goals[1], at_most=False),
        Figure(f"{name}-of-formula", speed / predicted, "of the prediction", 0.9, at_most=False),
    ]


def _chosen(stand: Stand) -> int:
    """What `auto` settles on."""
    adaptive = Adaptive(stand.models, stand.mixer, torch.device("cpu"), time.process_time)
    for _ in range(6):
        stand.run(adaptive, 8)
    return max(2, adaptive.controller.in_use)


def _speed(run: Callable[[], float]) -> float:
    since = time.process_time()
    tokens = run()
    return tokens / (time.process_time() - since)


def _forward(stand: Stand, role: Role, tokens: int) -> float:
    position_B_T = torch.arange(_MIDDLE, _MIDDLE + tokens).repeat(stand.count, 1)
    return _typical(lambda: stand.forward(role, torch.zeros(stand.count, tokens, dtype=torch.long), position_B_T))


def _predicted(stand: Stand, gamma: int, acceptance: float) -> float:
    """Tokens per second of a row by the formula, each cost measured on its own."""
    width = gamma + 1 - ready_share(gamma, acceptance) ** stand.count
    share = width - int(width)
    teacher = sum(part * _forward(stand, "teacher", int(width) + more) for more, part in ((0, 1 - share), (1, share)))
    slots = stand.seated()
    theta, t, key = (part.repeat_interleave(gamma, 0) for part in (slots.logits_theta_B_V, slots.logits_t_B_V,
                                                                   slots.key_B))
    position = torch.arange(gamma).repeat(stand.count)
    mixing = _typical(lambda: stand.mixer.step(theta, t, key, position))
    return tokens_per_round(gamma, acceptance) / (gamma * _forward(stand, "student", 1) + teacher + mixing)


def _typical(run: Callable[[], object]) -> float:
    run()
    return statistics.median(cpu_seconds(run) for _ in range(_TURNS))


def _never_slower(stand: Stand) -> Figure:
    """A fresh choice over a hundred rounds, in turn with lockstep, which is best here. What is compiled on first use
    is compiled before."""
    lockstep = Lockstep(stand.models, stand.mixer)
    adaptive = Adaptive(stand.models, stand.mixer, torch.device("cpu"), time.process_time)
    for warm in (lockstep, Speculative(stand.models, stand.mixer, 3, False)):
        stand.run(warm, 2)
    seconds = {"auto": 0.0, "lockstep": 0.0}
    for _ in itertools.repeat(None, 10):
        for name, strategy in (("auto", adaptive), ("lockstep", lockstep)):
            seconds[name] += 1.0 / _speed(lambda strategy=strategy: stand.run(strategy, 10))
    ratio = seconds["auto"] / seconds["lockstep"]
    return Figure(f"engine-speculation-auto-B{stand.count}", ratio, "× the time of lockstep", 1.03)


if __name__ == "__main__":
    main()
