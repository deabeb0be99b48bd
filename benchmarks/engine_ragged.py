"""`make bench NAME=engine-ragged`: samples of very different lengths end to end, slots refilled as soon as one ends,
against waves that wait for their slowest row. The same engine, the built-in pair, the same tokens.

A sample ends where a table of hazards and a hash of (token, position) say so, which makes its length log-normal
whatever the model would have said; only what a batch costs is measured.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import cpu_seconds
from qstar_core.config import AlphaSettings, EngineSettings, PromptSettings, SamplingSettings, SupportSettings
from qstar_core.engine.decode import TransformersEngine
from qstar_core.engine.loading import load_pair
from qstar_core.engine.protocol import Job
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.models import resolve
from qstar_core.prompts import PromptRenderer
from qstar_core.records import PromptPair
from qstar_core.tiny.problems import problems

_BATCH, _WAVES = 32, 12
_MEDIAN, _SIGMA, _LONGEST = 24, 1.0, 160
_TURNS = 3
_GOAL = 1.6
_SETTINGS = EngineSettings(batch_size=_BATCH, device="cpu", dtype="float32", threads=1)


class EndsByTable:
    """A student who says the end of the turn exactly where the table does; q* has no token that the student has not."""

    def __init__(self, network: Any, end: int, prompt_length: int) -> None:
        self._network = network
        self.config = network.config
        self._end = end
        lengths = np.arange(_LONGEST + 1).clip(min=0.5)
        density = np.exp(-0.5 * (np.log(lengths / _MEDIAN) / _SIGMA) ** 2) / lengths
        left = density[::-1].cumsum()[::-1]
        table = np.concatenate([np.zeros(prompt_length), density / left, np.ones(_LONGEST)])
        self._hazard = torch.tensor(table)

    def parameters(self) -> Iterator[Tensor]:
        yield from self._network.parameters()

    def __call__(self, **inputs: Any) -> Any:
        out = self._network(**inputs)
        token_B, position_B = inputs["input_ids"][:, -1], inputs["position_ids"][:, -1]
        drawn_B = (token_B * 48271 + position_B * 69621 + 1013904223) % 10007 / 10007
        ends_B = drawn_B < self._hazard[position_B]
        logits_B_V = out.logits[:, -1]
        said_B = logits_B_V[:, self._end].clone()
        logits_B_V[ends_B] = -torch.inf
        logits_B_V[:, self._end] = torch.where(ends_B, said_B, -torch.inf)
        return out


def main() -> None:
    engine, jobs = _prepared()
    waves = [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]
    lengths = [len(one.sample.token_ids) for one in engine.generate(jobs)]
    seconds: dict[str, list[float]] = {"refilled": [], "waves": []}
    for _ in range(_TURNS):
        seconds["refilled"].append(cpu_seconds(lambda: _all(engine, [jobs])))
        seconds["waves"].append(cpu_seconds(lambda: _all(engine, waves)))
    ratio = statistics.median(w / r for r, w in zip(seconds["refilled"], seconds["waves"], strict=True))
    figures = [Figure("engine-ragged", ratio, "× waves that wait", _GOAL, at_most=False)]
    figures += [Figure(f"engine-ragged-{name}", sum(lengths) / statistics.median(taken), "tokens/CPU s")
                for name, taken in seconds.items()]
    record("engine-ragged", figures, "make bench NAME=engine-ragged",
           f"Built-in pair, float32, one thread, batch {_BATCH}, {len(jobs)} samples ({_WAVES} waves) of log-normal "
           f"length: median {statistics.median(lengths):g}, mean {statistics.mean(lengths):.1f}, longest "
           f"{max(lengths)}. Median of {_TURNS} turns.")


def _all(engine: TransformersEngine, waves: Iterable[Iterable[Job]]) -> None:
    for wave in waves:
        for _ in engine.generate(wave):
            pass


def _prepared() -> tuple[TransformersEngine, list[Job]]:
    torch.set_num_threads(1)
    refs = [resolve(f"builtin:tiny-{role}", None) for role in ("student", "teacher")]
    student, teacher = load_pair(*refs, _SETTINGS)
    tokenizer = ChatTokenizer("tiny", Path(refs[0].path))
    pairs = _of_one_length(tokenizer)
    prompt_length = len(pairs[0].student_ids)
    ends = EndsByTable(student.network, min(student.eos_ids), prompt_length - 1)
    context = max(prompt_length, *(len(pair.teacher_ids) for pair in pairs)) + _LONGEST + 1
    engine = TransformersEngine(replace(student, network=ends), teacher, tokenizer, context, AlphaSettings(),
                            SamplingSettings(max_tokens=_LONGEST), SupportSettings(), _SETTINGS)
    return engine, [Job(pair.prompt_id, pair, 0) for pair in pairs]


def _of_one_length(tokenizer: ChatTokenizer) -> list[PromptPair]:
    """Enough prompts of the most common length: the table counts from the end of the prompt."""
    renderer = PromptRenderer(PromptSettings(), tokenizer, tokenizer, 512)
    pairs = [renderer.render(prompt) for prompt in problems(0, 4000)]
    length = Counter(len(pair.student_ids) for pair in pairs).most_common(1)[0][0]
    return [pair for pair in pairs if len(pair.student_ids) == length][: _BATCH * _WAVES]


if __name__ == "__main__":
    main()
