"""What a worker of Ray does, without Ray: it finishes shards in the store and tells counts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from flows.rayworker import ShardWorker, Told
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import CrashLoopError
from qstar_core.models import resolve_models
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.ingest import ingest
from qstar_core.stages.kept import Kept
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.workspace import Workspace
from tests.conftest import REPOSITORY


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_cache: Path) -> Settings:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
    return load_settings(REPOSITORY / "configs" / "tiny.yaml", flags={
        "round.prompts": 6, "round.shard_size": 8, "round.checkpoint_every": 3, "operations.max_crashes": 1})


@pytest.fixture
def plan(settings: Settings) -> Plan:
    workspace = Workspace.open(settings)
    models = resolve_models(settings, workspace.store)
    return load_plan(workspace.store, plan_round(workspace, ingest(workspace, "1"), models, "run"))


def test_shards_are_finished_once_and_told_as_counts(settings: Settings, plan: Plan) -> None:
    told: list[Told] = []
    store = Workspace.open(settings).store
    worker = ShardWorker(settings, plan.plan_key, "test", told.append)
    done = [worker.sample(shard.index) for shard in plan.shards]
    assert [result.entry for result in done] == [ledger_entry(store, plan, shard.index) for shard in plan.shards]
    assert all(result.loaded for result in done) and len(done) == 2
    kept = [message for message in told if isinstance(message, Kept)]
    for shard in plan.shards:
        assert sum(message.samples for message in kept if message.shard == shard.index) == shard.samples
    assert sum(message.tokens for message in kept) == sum(result.entry.tokens for result in done)
    assert pickle.loads(pickle.dumps((done, told))) == (done, told)
    told.clear()
    again = worker.sample(0)
    assert again.entry == done[0].entry and not again.loaded and not told


def test_a_shard_that_ended_a_worker_too_often_is_not_begun(settings: Settings, plan: Plan) -> None:
    begun = f"{plan.key}/begun/shard-1.json"
    Workspace.open(settings).store.write(begun, b'{"what": "shard 1", "crashes": 0, "progress": 0}')
    with pytest.raises(CrashLoopError, match="shard 1 of"):
        ShardWorker(settings, plan.plan_key, "test", lambda _: None).sample(1)


def test_a_worker_needs_neither_prefect_nor_ray() -> None:
    program = "import sys, flows.rayworker; assert not {'prefect', 'ray'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
