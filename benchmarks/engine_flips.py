"""`make bench NAME=engine-flips`: how many samples come out otherwise where shapes are not fixed.

The reference is the deterministic mode at 32 slots. Against it stand runs of the default mode
(`engine.deterministic: false`) at 1, 8 and 32 slots, on the same prompts, draws and random numbers; whatever differs is
float noise that tipped a draw. A flip is the first token in which a sample differs; what follows it is another text, so
flips are counted per token read up to there.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.results import Figure, record
from qstar_core.api import Mixture, generate
from qstar_core.records import Prompt
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.tiny.problems import problems

_REFERENCE = 32
_SLOTS = (1, 8, 32)
_DTYPES = ("float32", "bfloat16")

Tokens = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Workload:
    """Two models, their prompts, and how much is drawn."""

    name: str
    model: Mapping[str, str]
    teacher_prompt: str
    prompts: list[Prompt]
    draws: int
    max_tokens: int

    def run(self, slots: int, dtype: str, deterministic: bool) -> Tokens:
        mixture = Mixture(
            **self.model, prompts={"student": "{{ question }}", "teacher": self.teacher_prompt},
            sampling={"max_tokens": self.max_tokens},
            engine={"batch_size": slots, "dtype": dtype, "deterministic": deterministic, "device": "cpu", "threads": 1,
                    "context": 128},
        )
        return {one.sample.id: one.token_ids for one in generate(mixture, self.prompts, self.draws)}


def main() -> None:
    workloads = (
        Workload("tiny", {}, "{{ question }} ref {{ meta.reference }} steps",
                 list(problems(0, 24)), draws=4, max_tokens=40),
        Workload("smollm2", {"student": "builtin:smollm2", "teacher": "builtin:smollm2"},
                 "{{ question }} (The answer is {{ answer }}.)", list(arithmetic(0, 6)), draws=4,
                 max_tokens=10),
    )
    figures = []
    for work, dtype in itertools.product(workloads, _DTYPES):
        reference = work.run(_REFERENCE, dtype, deterministic=True)
        for slots in _SLOTS:
            flipped, tokens = compared(reference, work.run(slots, dtype, deterministic=False))
            name = f"engine-flips-{work.name}-{dtype}-B{slots}"
            figures += [Figure(f"{name}-samples", flipped / len(reference), f"of {len(reference)} samples differ"),
                        Figure(f"{name}-tokens", flipped / tokens, f"flips a token, {tokens} tokens")]
    record("engine-flips", figures, "make bench NAME=engine-flips",
           f"Default mode against deterministic mode at {_REFERENCE} slots, one thread, CPU.")


def compared(reference: Tokens, other: Tokens) -> tuple[int, int]:
    """Samples that differ, and the tokens that were read until they did."""
    flipped = tokens = 0
    for name, expected in reference.items():
        found = other[name]
        at = next((i for i, (one, two) in enumerate(zip(expected, found, strict=False)) if one != two), None)
        flipped += found != expected
        tokens += len(expected) if at is None else at + 1
    return flipped, tokens


if __name__ == "__main__":
    main()
