"""`make bench NAME=orchestration`: what Prefect costs a round. The same shards with an engine that has nothing to do,
once called directly and once as tasks of a flow on a real server with SQLite; the difference, extrapolated to an hour.

The first argument is the number of shards, 1,000 unless given.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record
from flows.serve import ensure_server, stop_server
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.engine.protocol import Finished, Job
from qstar_core.models import resolve_models
from qstar_core.records import FinishReason, Sample
from qstar_core.stages.generate import generate_shard, ledger_entry
from qstar_core.stages.ingest import ingest
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.workspace import Workspace

SHARDS = 1000
# A shard of the default settings' size on one GPU: minutes; an hour holds about this many.
_SHARDS_AN_HOUR = 60
_HOUR_S = 3600.0


class EmptyEngine:
    """Every sample is finished at once and holds nothing."""

    acceptance = None
    on_halved: Callable[[int], None] | None = None

    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        for job in jobs:
            yield Finished(Sample(id=job.sample_id, prompt_id=job.pair.prompt_id, draw=job.draw, seed=0, max_tokens=1,
                                  completion="", token_ids=(), finish_reason=FinishReason.STOP), None)


def main() -> None:
    shards = int(sys.argv[1]) if len(sys.argv) > 1 else SHARDS
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(QSTAR_HOME=str(Path(folder) / ".qstar"), PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
                          PREFECT_LOGGING_INTERNAL_LEVEL="CRITICAL")
        ensure_server()
        try:
            figures = _measured(shards)
        finally:
            stop_server()
    record("orchestration", figures, "make bench NAME=orchestration",
           f"{shards} shards of one sample, an engine that does nothing; a server of its own on SQLite. The share is "
           f"(fixed + {_SHARDS_AN_HOUR} shards) of an hour: extrapolated, not a run of an hour.")


def _measured(shards: int) -> list[Figure]:
    workspaces = [_planned(name, shards) for name in ("direct", "flow", "empty")]
    direct = _timed(lambda: _direct(*workspaces[0]))
    whole = _timed(lambda: _flow(*workspaces[1], range(shards)))
    fixed = _timed(lambda: _flow(*workspaces[2], range(0)))
    a_shard = (whole - fixed - direct) / shards
    finished = sum(ledger_entry(workspaces[1][0].store, workspaces[1][1], index) is not None for index in range(shards))
    return [
        Figure("orchestration-share-of-an-hour", 100 * (fixed + _SHARDS_AN_HOUR * a_shard) / _HOUR_S,
               "% of a one-hour generation", goal=3),
        Figure("orchestration-fixed", fixed, "s a flow run without shards"),
        Figure("orchestration-a-shard", 1000 * a_shard, "ms a shard beyond the direct call"),
        Figure("orchestration-direct-a-shard", 1000 * direct / shards, "ms a shard called directly"),
        Figure("orchestration-shards-finished", 100 * finished / shards, f"% of {shards} shards in one run on SQLite",
               goal=100, at_most=False),
    ]


def _planned(name: str, shards: int) -> tuple[Workspace, Plan]:
    settings: Settings = load_settings(flags={"dataset": name, "round.prompts": shards, "round.shard_size": 1,
                                              "sampling.draws": 1, "engine.diagnostics": False})
    workspace = Workspace.open(settings)
    models = resolve_models(settings, workspace.store)
    return workspace, load_plan(workspace.store, plan_round(workspace, ingest(workspace, "1"), models, "bench"))


def _direct(workspace: Workspace, plan: Plan) -> None:
    for shard in plan.shards:
        generate_shard(workspace, plan, shard.index, EmptyEngine)


def _flow(workspace: Workspace, plan: Plan, shards: Iterable[int]) -> None:
    from prefect import flow

    from tasks import generate
    from tasks.watching import watched

    generate.engine_for = lambda *_: EmptyEngine()  # type: ignore[assignment,return-value]

    @flow(name="orchestration")
    def run() -> None:
        with watched(workspace.settings, plan.round):
            for shard in shards:
                generate.generate_task(workspace.settings, plan.plan_key, shard)

    run()


def _timed(work: Callable[[], Any]) -> float:
    since = time.monotonic()
    work()
    return time.monotonic() - since


if __name__ == "__main__":
    main()
