"""`make bench NAME=engine-memory`: the most memory that lockstep decoding holds beyond weights and caches, in units of
[B, V] float32. The logits that wait for the next step are part of it.

On a CPU every allocation and release of torch, compiled kernels included, is an event of its profiler. On CUDA the
allocator keeps the peak itself (*not run here*).
"""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.engine_mix_share import Slots
from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer

_STEPS = 4


def main() -> None:
    bench = Bench()
    vocab = max(bench.tokenizer.vocabulary.values()) + 1
    figures = []
    for slots in (8, 32):
        batch = Slots(bench.model, bench.pairs, slots, vocab, False)
        unit = 4 * slots * vocab
        mixer = Mixer(AlphaOptions(), passes="auto")
        step = [lambda batch=batch, mixer=mixer: batch.mix(mixer), batch.forward]
        for work in step:
            work()
        figures += [Figure(f"engine-memory-mix-B{slots}", _peak(batch, step[:1]) / unit, "× [B, V] float32"),
                    Figure(f"engine-memory-B{slots}", _peak(batch, step) / unit, "× [B, V] float32", 3)]
    record("engine-memory", figures, "make bench NAME=engine-memory",
           f"SmolLM2-135M as its own teacher, two forwards, bfloat16; the peak of {_STEPS} steps. CUDA: not run here.")


def _peak(batch: Slots, works: list) -> int:
    """Bytes beyond what was there, plus the logits that were."""
    before = batch.waiting_bytes
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        for _ in range(_STEPS):
            for work in works:
                work()
        return before + torch.cuda.max_memory_allocated() - start
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        for _ in range(_STEPS):
            for work in works:
                work()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return before + peak


if __name__ == "__main__":
    main()
