"""`make bench NAME=engine-memory`: the most memory that lockstep decoding holds beyond weights and caches, in units of
[B, V] float32. The logits that wait for the next step are part of it.

On a CPU every allocation and release of torch, compiled kernels included, is an event of its profiler. On CUDA the
allocator keeps the peak itself (*not run here*).
"""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench
from qstar_core.engine.lockstep import Lockstep
from qstar_core.experiments.speculation.stand import Stand

_ROUNDS = 4


def main() -> None:
    bench = Bench()
    figures = []
    for count in (8, 32):
        stand = bench.stand(bench.model, count)
        stand.run(Lockstep(stand.models, stand.mixer), 2)
        unit = 4 * count * stand.vocab
        figures.append(Figure(f"engine-memory-B{count}", _peak(stand) / unit, "× [B, V] float32", 3))
    record("engine-memory", figures, "make bench NAME=engine-memory",
           f"SmolLM2-135M twice, two forwards, bfloat16; the peak of {_ROUNDS} tokens. CUDA: not run here.")


def _peak(stand: Stand) -> int:
    """Bytes beyond what was there before the first token; the waiting logits are made by the run itself."""
    strategy = Lockstep(stand.models, stand.mixer)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        stand.run(strategy, _ROUNDS)
        return torch.cuda.max_memory_allocated() - start
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        stand.run(strategy, _ROUNDS)
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


if __name__ == "__main__":
    main()
