"""`make bench NAME=engine-alone`: this engine sampling from one model alone, against transformers' own `generate` on
the same prompts, both at batch 32, with the same law (no top-k) and without an end of the turn: lengths are equal.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import CONTEXT, Bench, cpu_seconds
from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.protocol import Job
from qstar_core.models import resolve

_BATCH, _DRAWS = 32, 2
_SHORT, _LONG = 8, 48
_TURNS = 3
_GOAL = 1.8


def main() -> None:
    bench = Bench()
    runners = {"engine": _engine(bench), "generate": _generate(bench)}
    seconds: dict[tuple[str, int], list[float]] = {(name, tokens): [] for name in runners for tokens in (_SHORT, _LONG)}
    for run in runners.values():
        run(2)
    for _ in range(_TURNS):
        for (name, tokens), taken in seconds.items():
            taken.append(cpu_seconds(lambda name=name, tokens=tokens: runners[name](tokens)))
    whole = {name: seconds[name, _LONG] for name in runners}
    steady = {name: [long - short for short, long in zip(seconds[name, _SHORT], seconds[name, _LONG], strict=True)]
              for name in runners}
    figures = []
    for told, taken, tokens in (("", whole, _LONG), ("-steady", steady, _LONG - _SHORT)):
        ratio = statistics.median(g / e for e, g in zip(taken["engine"], taken["generate"], strict=True))
        figures.append(Figure(f"engine-alone{told}", ratio, "× transformers generate", _GOAL, at_most=False))
        speeds = {name: _BATCH * tokens / statistics.median(taken[name]) for name in runners}
        figures += [Figure(f"engine-alone{told}-{name}", speed, "tokens/CPU s") for name, speed in speeds.items()]
    record("engine-alone", figures, "make bench NAME=engine-alone",
           f"SmolLM2-135M, bfloat16, one thread, batch {_BATCH}: {_BATCH // _DRAWS} prompts drawn {_DRAWS} times, "
           f"{_LONG} tokens each, reading included; steady: what tokens {_SHORT + 1} to {_LONG} take. Median of "
           f"{_TURNS} turns.")


def _engine(bench: Bench) -> Callable[[int], None]:
    endless = replace(bench.model, eos_ids=frozenset())
    jobs = [Job(f"{pair.prompt_id}/{draw}", pair, draw)
            for pair in bench.pairs[: _BATCH // _DRAWS] for draw in range(_DRAWS)]

    def run(tokens: int) -> None:
        engine = TransformersEngine(endless, None, bench.tokenizer, CONTEXT, AlphaSettings(),
                                SamplingSettings(max_tokens=tokens), SupportSettings(),
                                EngineSettings(batch_size=_BATCH, dtype="bfloat16", device="cpu", threads=1))
        drawn = sum(len(one.sample.token_ids) for one in engine.generate(jobs))
        assert drawn == _BATCH * tokens

    return run


def _generate(bench: Bench) -> Callable[[int], None]:
    """As transformers loads it: with its own attention and cache."""
    network = AutoModelForCausalLM.from_pretrained(Path(resolve("builtin:smollm2", None).path), dtype=torch.bfloat16)
    network.eval()
    prompts = [pair.student_ids for pair in bench.pairs[: _BATCH // _DRAWS] for _ in range(_DRAWS)]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def run(tokens: int) -> None:
        out = network.generate(input_ids=ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=tokens,
                               eos_token_id=None, pad_token_id=0)
        assert out.shape == (_BATCH, longest + tokens)

    return run


if __name__ == "__main__":
    main()
