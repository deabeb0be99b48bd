"""`make bench NAME=engine-shared`: one decoding step of both roles in one forward over twice the rows, against two
forwards, for a model that is its own teacher.
"""

from __future__ import annotations

import statistics

import torch

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench, cpu_seconds
from qstar_core.engine.pair import PairRunner, pair_runner

_STEPS = 8
_TURNS = 5
_GOALS = {1: 1.7, 8: 1.3}


def main() -> None:
    bench = Bench()
    figures = []
    for slots, goal in _GOALS.items():
        runners = {share: _prefilled(bench, slots, share) for share in (True, False)}
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(_TURNS):
            for share, runner in runners.items():
                seconds[share].append(cpu_seconds(lambda runner=runner, slots=slots: _decode(runner, slots)))
        ratio = statistics.median(two / one for one, two in zip(seconds[True], seconds[False], strict=True))
        figures.append(Figure(f"engine-shared-B{slots}", ratio, "× two forwards", goal, at_most=False))
    record("engine-shared", figures, "make bench NAME=engine-shared",
           f"SmolLM2-135M, bfloat16, one thread, CPU seconds, median of {_TURNS} turns of {_STEPS} steps.")


def _prefilled(bench: Bench, slots: int, share: bool) -> PairRunner:
    vocab = max(bench.tokenizer.vocabulary.values()) + 1
    runner = pair_runner(bench.model, bench.model, slots, 128, vocab, True, share)
    for slot in range(slots):
        runner.prefill(slot, bench.pairs[slot])
    _decode(runner, slots)
    return runner


def _decode(runner: PairRunner, slots: int) -> None:
    occupied_B = torch.ones(slots, dtype=torch.bool)
    token_B = torch.zeros(slots, dtype=torch.long)
    for step in range(_STEPS):
        length_B = torch.full((slots,), 60 + step)
        runner.decode(token_B, length_B, length_B, occupied_B)


if __name__ == "__main__":
    main()
