"""`make bench NAME=filters`: rows a second of every filter and of a chain, on one and two processes, beside datatrove's
executor with the same rules and rows; and the peak memory of the chain. `ARGS=--million` adds a million rows to that,
`ARGS="--rows 20000"` takes fewer everywhere.

Speeds and ratios are rows by CPU second, child processes and their start included, so that what else the machine does
weighs less; by the clock they are told beside that. datatrove's workers are forked and find the rows in their memory;
the chain's are started anew and sent every row.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import filter_rows
from benchmarks.filter_rows import STREAM, WORDS, candidates, run_datatrove, steps
from benchmarks.results import REPOSITORY, Figure, record
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import FilterChain
from qstar_core.filters.context import Embedder, FilterContext

_ROWS = 100_000
_SHARES = {"one process": 5, "each": 10, "slow": 30, "model": 250}  # of the rows, one in so many
_SLOW = ("gopher", "language", "near_duplicate")
_MEASURED = (*STREAM, "answer", "language", "toxicity", "pii", "duplicate", "near_duplicate", "semantic_duplicate",
             "contamination", "diagnostics")
_OPTIONS: dict[str, dict[str, Any]] = {
    "contamination": {"against": ["exam"]},
    "diagnostics": {"max_z": {"alpha_mean": 5, "log_z_mean": 5}},
}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, default=_ROWS, help="rows of the chain; filters by themselves get fewer")
    asked.add_argument("--million", action="store_true", help="measure the memory of a million rows too")
    given = asked.parse_args()
    rows, million = given.rows, given.million
    filter_rows.ROWS.extend(candidates(0, rows))
    figures = [_each(name) for name in _MEASURED]
    whole = list(filter_rows.ROWS)
    figures += [_start(), *_compared(rows // _SHARES["one process"], 1)]
    filter_rows.ROWS[:] = whole
    figures += _compared(rows, 2)
    small, *larger = counts = (rows // 10, rows, *([1_000_000] if million else []))
    peaks = {count: _peak_mb(count) for count in counts}
    figures += [Figure(f"filters-peak-{count}", peak, "MB") for count, peak in peaks.items()]
    figures += [Figure(f"filters-peak-growth-{count}", peaks[count] / peaks[small], f"× the peak of {small} rows", 1.05)
                for count in larger]
    flags = [f"--rows {rows}"] * (rows != _ROWS) + ["--million"] * million
    record("filters", figures, "make bench NAME=filters" + (f' ARGS="{" ".join(flags)}"' if flags else ""),
           f"Synthetic worked sums of some 60 words. The chain is {', '.join(STREAM)}.")


def _each(name: str) -> Figure:
    share = "model" if name == "semantic_duplicate" else "slow" if name in _SLOW else "each"
    rows = filter_rows.ROWS[: len(filter_rows.ROWS) // _SHARES[share]]
    _run_chain(rows[:64], (name,))  # imports, models
    cpu, _ = _measured(lambda: _run_chain(rows, (name,)))
    return Figure(f"filters-{name.replace('_', '-')}", len(rows) / cpu, f"rows/s, {len(rows)} rows")


def _start() -> Figure:
    rows = filter_rows.ROWS[:64]
    own, two = (_measured(lambda n=n: _run_chain(rows, STREAM, n))[0] for n in (1, 2))
    return Figure("filters-workers-start", two - own, "CPU s to start two worker processes")


def _compared(count: int, processes: int) -> list[Figure]:
    """The chain and datatrove's executor by turns over two halves of the rows; both keep the same ones, or the
    comparison means nothing."""
    rows = filter_rows.ROWS[:count]
    ours = our_wall = theirs = their_wall = 0.0
    for half in (rows[: count // 2], rows[count // 2 :]):
        filter_rows.ROWS[:] = half
        kept: list[int] = []
        cpu, wall = _measured(lambda kept=kept, half=half: kept.append(_run_chain(half, STREAM, processes)))
        ours, our_wall = ours + cpu, our_wall + wall
        cpu, wall = _measured(lambda kept=kept: kept.append(run_datatrove(processes)))
        theirs, their_wall = theirs + cpu, their_wall + wall
        if kept[0] != kept[1]:
            raise SystemExit(f"the chain keeps {kept[0]} rows, datatrove {kept[1]}")
    name = f"filters-chain-{processes}p"
    return [Figure(name, count / ours, f"rows/s, {count} rows"),
            Figure(f"{name}-wall", count / our_wall, "rows/s by the clock"),
            Figure(f"{name}-datatrove", count / theirs, "rows/s of datatrove's executor"),
            Figure(f"{name}-datatrove-wall", count / their_wall, "rows/s of datatrove's executor by the clock"),
            Figure(f"{name}-ratio", theirs / ours, "× datatrove's executor", 1.0, at_most=False)]


def _run_chain(rows: list[Candidate], names: tuple[str, ...], processes: int = 1) -> int:
    exam = [f"question {i} of " + " ".join(WORDS[i % 80 : i % 80 + 15]) for i in range(1000)]
    context = FilterContext(texts=lambda _: iter(exam), embedder=_embedder)
    with FilterChain(steps(names, _OPTIONS), context, processes) as chain:
        return sum(not verdict.stage for _, verdict in chain.judged(lambda: rows, lambda row: row))


def _embedder(_: str) -> Embedder:
    # Here, because worker processes import this module and need no torch.
    from qstar_core.engine.embedding import EmbeddingModel, minilm_folder

    return EmbeddingModel(minilm_folder(), "cpu")


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, and seconds by the clock."""
    cpu, wall = _cpu(), time.monotonic()
    work()
    return _cpu() - cpu, time.monotonic() - wall


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_mb(rows: int) -> float:
    """Of a fresh process that makes the rows as it goes."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.filter_rows", str(rows)], cwd=REPOSITORY, check=True,
                          capture_output=True, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
