"""`make bench NAME=ray-scaling`: tokens a second of one round by two workers of Ray, as a multiple of one worker's.

Both in one run, in turns, on the embedded models with one thread a worker. Starting Ray and loading models is left out:
the rate is that of the time between the first and the last row that was kept. It needs two free cores.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.results import REPOSITORY, Figure, record
from flows.serve import ensure_server, stop_server
from qstar_core.configload import load_settings

_TURNS = 3
_PROMPTS, _SHARD = 512, 32


def main() -> None:
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(QSTAR_HOME=str(Path(folder) / ".qstar"), PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
                          PREFECT_LOGGING_INTERNAL_LEVEL="CRITICAL")
        ensure_server()
        try:
            turns = [(_rate(1, turn), _rate(2, turn)) for turn in range(_TURNS)]
        finally:
            stop_server()
    ratio = statistics.median(two / one for one, two in turns)
    note = (f"{_PROMPTS} prompts in shards of {_SHARD} samples, median of {_TURNS} pairs; load average before it began "
            f"{busy:.1f} on {os.cpu_count()} cores.")
    record("ray-scaling", [
        Figure("ray-scaling-two-workers", ratio, "× the tokens/s of one worker", goal=1.5, at_most=False),
        Figure("ray-scaling-one-worker", statistics.median(one for one, _ in turns), "tokens/s"),
    ], "make bench NAME=ray-scaling", note)


def _rate(workers: int, turn: int) -> float:
    from flows.refresh import refresh
    from tasks.events import Event, Told, listening

    rows: list[tuple[float, int]] = []

    def note(event: Told) -> None:
        if isinstance(event, Event) and event.stage == "generate" and event.tokens:
            rows.append((time.monotonic(), event.tokens))

    settings = load_settings(REPOSITORY / "configs" / "tiny.yaml", flags={
        "dataset": f"ray-{workers}-{turn}", "round.prompts": _PROMPTS, "round.shard_size": _SHARD,
        "operations.runner": "ray", "operations.ray_workers": workers, "output.report_samples": 1})
    with listening(note):
        refresh(settings, "1")
    (since, first), (until, _) = rows[0], rows[-1]
    return (sum(tokens for _, tokens in rows) - first) / (until - since)


if __name__ == "__main__":
    main()
