"""The rows of `make bench NAME=filters`, and datatrove's pipeline over them. A module of its own, so that datatrove's
worker processes find by name what they run. As a program it judges so many rows as it makes them and prints the peak of
its memory in MB."""

from __future__ import annotations

import contextlib
import functools
import io
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qstar_core.config import Action, FilterStep
from qstar_core.filters.base import Candidate, Filter
from qstar_core.filters.chain import FilterChain, configured
from qstar_core.filters.gopher import GopherOptions, gopher_rules
from qstar_core.records import FinishReason, Message, MixSummary, Prompt, Role, Sample

STREAM = ("finish", "length", "hint_leak", "loop", "gopher")
ROWS: list[Candidate] = []  # what `read` gives; workers that are forked have it too
WORDS = [first + second for first in ("ba", "ko", "li", "mu", "ne", "ro", "sa", "ti", "vu", "we")
          for second in ("n", "rd", "st", "lk", "m", "x", "pe", "tor", "nis", "gal")]
_SUMMARY: dict[str, Any] = {
    name: 0 if field.annotation is int else 0.1 for name, field in MixSummary.model_fields.items()}


def candidates(start: int, end: int) -> Iterator[Candidate]:
    """Worked sums of some sixty words, the same for every run; one in eight is cut, loops, leaks or is a copy."""
    for row in range(start, end):
        rng = random.Random(row)
        total, steps = 0, []
        for _ in range(6):
            more = rng.randrange(2, 99)
            steps.append(f"{' '.join(rng.choices(WORDS, k=6))}: {total} + {more} = {total + more}.")
            total += more
        text = " ".join(steps) + f" The answer is {total}."
        fate = row % 32
        text = {1: steps[0] * 12, 2: f"By the given answer, {text}", 3: "the same for all"}.get(fate, text)
        prompt = Prompt.of((Message(role=Role.USER, content=f"Add what row {row // 2} of the list tells."),),
                           answer=str(total))
        tokens = tuple(range(len(text) // 4))
        yield Candidate(prompt, Sample(
            id=f"{row:016x}", prompt_id=prompt.id, draw=row % 2, completion=text, token_ids=tokens,
            finish_reason=FinishReason.LENGTH if fate == 4 else FinishReason.STOP, seed=0, max_tokens=400,
            summary=MixSummary(**{**_SUMMARY, "tokens": len(tokens), "alpha_mean": rng.gauss(0.5, 0.1)})))


def steps(names: tuple[str, ...], options: dict[str, dict[str, Any]]) -> list[FilterStep]:
    return [FilterStep(name=name, action=Action.DROP, options=options.get(name, {})) for name in names]


def read(_: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    from datatrove.data import Document

    for row in ROWS[rank::world_size]:
        yield Document(text=row.sample.completion, id=row.sample.id, metadata={"row": row})


@functools.cache
def rule(name: str) -> Filter[Any]:
    return configured(steps((name,), {}))[0].filter


def passes(name: str, document: Any) -> bool:
    return rule(name).judge(document.metadata["row"]) is None


def run_datatrove(processes: int = 1) -> int:
    """The rows that its executor keeps: its own Gopher filter, the other rules as steps of its LambdaFilter."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import LambdaFilter

    pipeline = [read, *(gopher_rules(GopherOptions()) if name == "gopher" else
                        LambdaFilter(functools.partial(passes, name)) for name in STREAM)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # its log
        stats = LocalPipelineExecutor(pipeline, tasks=processes, workers=processes, logging_dir=folder,
                                      start_method="fork").run()
    return int(stats.stats[-1].stats["forwarded"].total)


def peak_mb(rows: int) -> float:
    with FilterChain(steps(STREAM, {})) as chain:
        for _ in chain.judged(lambda: candidates(0, rows), lambda row: row):
            continue
    # Not getrusage: its peak is inherited from the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1000


if __name__ == "__main__":
    print(peak_mb(int(sys.argv[1])))
