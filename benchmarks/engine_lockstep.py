"""`make bench NAME=engine-lockstep`: tokens per second of q* in lockstep, against 1/(1/T_s + 1/T_t), what is left if
both models do nothing but draw for themselves, in this engine at the same batch.
"""

from __future__ import annotations

import statistics

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench, cpu_seconds
from qstar_core.engine.lockstep import Lockstep
from qstar_core.experiments.speculation.stand import Stand

_ROUNDS = 8
_TURNS = 7
_SLOTS = (1, 8, 32)
_GOAL = 0.95


def main() -> None:
    bench = Bench()
    record("engine-lockstep", [figure for count in _SLOTS for figure in _measured(bench.stand(bench.model, count))],
           "make bench NAME=engine-lockstep",
           f"SmolLM2-135M twice, two forwards, bfloat16, one thread, CPU seconds, median of {_TURNS} turns of "
           f"{_ROUNDS} tokens.")


def _measured(stand: Stand) -> list[Figure]:
    strategy = Lockstep(stand.models, stand.mixer)
    runs = {
        "lockstep": lambda: stand.run(strategy, _ROUNDS),
        "student": lambda: stand.run_alone("student", _ROUNDS),
        "teacher": lambda: stand.run_alone("teacher", _ROUNDS),
    }
    for run in runs.values():
        run()
    turns = [{name: cpu_seconds(run) for name, run in runs.items()} for _ in range(_TURNS)]
    share = statistics.median((turn["student"] + turn["teacher"]) / turn["lockstep"] for turn in turns)
    speed = stand.count * _ROUNDS / statistics.median(turn["lockstep"] for turn in turns)
    return [Figure(f"engine-lockstep-B{stand.count}", share, "of the limit", _GOAL, at_most=False),
            Figure(f"engine-lockstep-B{stand.count}-speed", speed, "tokens/s")]


if __name__ == "__main__":
    main()
