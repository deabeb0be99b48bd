"""Data parallelism as the Ray runner does it, without Ray: processes side by side, an engine of vLLM in each."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from flows.rayworker import ShardWorker
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.engine.protocol import Finished
from qstar_core.engine.vllm import loading
from qstar_core.models import resolve_models
from qstar_core.stages.ingest import ingest
from qstar_core.stages.kept import Kept
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.refine import finished_samples
from qstar_core.stages.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.vllm.models import assert_same, needs_vllm

pytestmark = [pytest.mark.vllm, needs_vllm]

WORKERS, SHARDS = 2, 4


def planned(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> tuple[Settings, Workspace, Plan]:
    """Of four samples a shard."""
    monkeypatch.setenv("QSTAR_HOME", str(home))
    settings = load_settings(REPOSITORY / "configs" / "tiny.yaml", flags={
        "round.prompts": 8, "round.shard_size": 4, "round.checkpoint_every": 2, "engine.kind": kind,
        "engine.compile": "off"})
    workspace = Workspace.open(settings)
    models = resolve_models(settings, workspace.store)
    plan = load_plan(workspace.store, plan_round(workspace, ingest(workspace, "1"), models, "run"))
    assert len(plan.shards) == SHARDS
    return settings, workspace, plan


def meet(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def sampled(settings: Settings, plan_key: str, shards: range) -> set[int | None]:
    """What a worker of Ray does. It goes on with the rest of its first shard where the other one has begun, too. The
    processes of vLLM that it had."""
    met: list[int] = []

    def tell(told: object) -> None:
        if isinstance(told, Kept) and not met:
            met.append(_barrier.wait(timeout=300))

    worker, processes = ShardWorker(settings, plan_key, "test", tell), set()
    for shard in shards:
        assert worker.sample(shard).loaded
        processes |= {server.pid for server in loading._running.values()}
    return processes


def rows(workspace: Workspace, plan: Plan, scratch: Path) -> dict[str, Finished]:
    scratch.mkdir()
    return {one.sample.id: one for _, _, one in finished_samples(workspace, plan, scratch)}


def test_two_workers_with_vllm_make_the_round_of_one_process_without(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_cache: Path) -> None:
    """Each with one process of vLLM for all its shards."""
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
    settings, workspace, plan = planned(tmp_path / "alone", monkeypatch, "transformers")
    worker = ShardWorker(settings, plan.plan_key, "test", lambda told: None)
    for shard in range(SHARDS):
        worker.sample(shard)
    alone = rows(workspace, plan, tmp_path / "rows-alone")
    settings, workspace, plan = planned(tmp_path / "beside", monkeypatch, "vllm")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, spawn, meet, (spawn.Barrier(WORKERS),)) as pool:
        parts = [range(first, SHARDS, WORKERS) for first in range(WORKERS)]
        one, other = pool.map(sampled, [settings] * WORKERS, [plan.plan_key] * WORKERS, parts)
    assert len(one) == len(other) == 1 and one != other
    assert_same(rows(workspace, plan, tmp_path / "rows-beside"), alone)
