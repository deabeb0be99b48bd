"""`make bench NAME=scale`: what a round of 10^4, 10^6 and 10^8 prompts is made of, without sampling one.

Costs of a prompt and of a shard are measured with the project's own code: rounds of two sizes are planned for real, and
plan files of two numbers of shards are written and read. The rest is counted. The table goes into docs/scale.md.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import REPOSITORY, Figure, record
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.models import resolve_models
from qstar_core.records import FileRef
from qstar_core.stages.ingest import ingest
from qstar_core.stages.plan import LedgerEntry, Plan, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.workspace import Workspace

SIZES = (10_000, 1_000_000, 100_000_000)
_PLANNED = (300, 1500)
_SHARDS = (1_000, 11_000)
# Objects of a shard: its jobs, its rows, its line in the ledger. A round's own: a few dozen files of its version.
_OBJECTS_A_SHARD, _OBJECTS_A_ROUND = 3, 40
# Tasks of a round beside its shards, and its artifacts; docs/operations.md names them.
_TASKS_A_ROUND, _ARTIFACTS_A_ROUND = 7, 8
# Before sampling, each shard is looked up in the ledger: one request where it is not there, which S3 answers in this.
_REQUEST_S = 0.02
# What a task costs beyond the work, from `make bench NAME=orchestration`.
_TASK_S = 0.3
_MARKS = ("<!-- measured -->\n", "<!-- end -->\n")


@dataclass(frozen=True, slots=True)
class Costs:
    plan_s: float
    memory: float
    jobs: float
    shard_bytes: float
    shard_s: float
    ledger: float


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QSTAR_HOME"] = str(Path(folder) / ".qstar")
        costs = _measured()
    table = _table(costs)
    page = REPOSITORY / "docs" / "scale.md"
    head, rest = page.read_text(encoding="utf-8").split(_MARKS[0])
    page.write_text(head + _MARKS[0] + table + _MARKS[1] + rest.split(_MARKS[1])[1], encoding="utf-8")
    record("scale", [
        Figure("scale-plan-a-prompt", 1e3 * costs.plan_s, "ms of one core to ingest and plan a prompt"),
        Figure("scale-memory-a-prompt", costs.memory / 1e3, "kB of memory at the peak of planning"),
        Figure("scale-jobs-a-prompt", costs.jobs / 1e3, "kB in the store"),
        Figure("scale-plan-file-a-shard", costs.shard_bytes, "bytes of plan.json"),
        Figure("scale-plan-read-a-shard", 1e6 * costs.shard_s, "µs to read it, by every task"),
        Figure("scale-ledger-a-shard", costs.ledger, "bytes of a line in the ledger"),
    ], "make bench NAME=scale", "No prompt is sampled. Slopes between two sizes; docs/scale.md says what follows.")


def _measured() -> Costs:
    _planned(_PLANNED[0])  # what is loaded once is loaded
    small, large = (_cost(count) for count in _PLANNED)
    prompts = _PLANNED[1] - _PLANNED[0]
    plan_s, memory, jobs = ((b - a) / prompts for a, b in zip(small, large, strict=True))
    plan = _planned(_PLANNED[0])
    sizes, seconds = zip(*(_plan_file(plan, shards) for shards in _SHARDS), strict=True)
    shards = _SHARDS[1] - _SHARDS[0]
    ref = FileRef(key=plan.shard_key(10_000, "0" * 64), sha256="0" * 64, bytes=1_000_000, rows=64)
    ledger = len(LedgerEntry(shard=10_000, file=ref, tokens=100_000, seconds=123.456).model_dump_json())
    return Costs(plan_s, memory, jobs, (sizes[1] - sizes[0]) / shards, (seconds[1] - seconds[0]) / shards, ledger)


def _planned(prompts: int) -> Plan:
    settings: Settings = load_settings(flags={"dataset": f"scale-{prompts}-{time.monotonic_ns()}",
                                              "round.prompts": prompts})
    workspace = Workspace.open(settings)
    models = resolve_models(settings, workspace.store)
    plan = load_plan(workspace.store, plan_round(workspace, ingest(workspace, "1"), models, "bench"))
    assert plan.samples == prompts * settings.sampling.draws, "the source has fewer prompts"
    return plan


def _cost(prompts: int) -> tuple[float, float, float]:
    """Seconds of one core, bytes of memory at the peak, bytes of jobs."""
    since = time.process_time()
    _planned(prompts)
    seconds = time.process_time() - since
    tracemalloc.start()
    plan = _planned(prompts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, float(peak), float(sum(shard.jobs.bytes for shard in plan.shards))


def _plan_file(plan: Plan, shards: int) -> tuple[float, float]:
    """Bytes, and the seconds to read it."""
    [first, *_] = plan.shards
    many = tuple(first.model_copy(update={"index": index, "first_sample": 64 * index}) for index in range(shards))
    text = plan.model_copy(update={"shards": many}).model_dump_json()
    return float(len(text)), min(_timed(lambda: Plan.model_validate_json(text)) for _ in range(3))


def _timed(work: Callable[[], Any]) -> float:
    since = time.process_time()
    work()
    return time.process_time() - since


def _table(costs: Costs) -> str:
    settings = Settings()
    a_shard = max(1, settings.round.shard_size // settings.sampling.draws)
    columns = [(prompts, -(-prompts // a_shard)) for prompts in SIZES]
    rows: list[tuple[str, list[str]]] = [
        ("shards, and tasks for them", [f"{shards:,}" for _, shards in columns]),
        ("other tasks; artifacts", [f"{_TASKS_A_ROUND}; {_ARTIFACTS_A_ROUND}" for _ in columns]),
        ("objects in the store", [f"{_OBJECTS_A_SHARD * shards + _OBJECTS_A_ROUND:,}" for _, shards in columns]),
        ("jobs", [_bytes(costs.jobs * prompts) for prompts, _ in columns]),
        ("ledger", [_bytes(costs.ledger * shards) for _, shards in columns]),
        ("`plan.json`", [_bytes(costs.shard_bytes * shards) for _, shards in columns]),
        ("to read it, once a task", [_time(costs.shard_s * shards) for _, shards in columns]),
        ("… in all tasks of the round", [_time(costs.shard_s * shards * shards) for _, shards in columns]),
        ("to ingest and plan", [_time(costs.plan_s * prompts) for prompts, _ in columns]),
        ("memory to plan", [_bytes(costs.memory * prompts) for prompts, _ in columns]),
        ("to look through the ledger on S3", [_time(_REQUEST_S * shards) for _, shards in columns]),
        ("tasks' own cost on the server", [_time(_TASK_S * shards) for _, shards in columns]),
    ]
    lines = [f"| prompts in one round | {' | '.join(f'10^{len(str(prompts)) - 1}' for prompts in SIZES)} |",
             f"|---|{'---:|' * len(SIZES)}", *(f"| {name} | {' | '.join(values)} |" for name, values in rows)]
    return re.sub(r" +\n", "\n", "\n".join(lines)) + "\n"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB" if value < 1000 else f"{value:,.0f} TB"


def _time(seconds: float) -> str:
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= length:
            return f"{seconds / length:,.3g} {unit}" if seconds / length < 1000 else f"{seconds / length:,.0f} {unit}"
    return f"{1e3 * seconds:.3g} ms"


if __name__ == "__main__":
    main()
