"""One shard of q* samples. The engine stays loaded in the process for the next shard."""

from __future__ import annotations

from prefect import get_run_logger, task

from qstar_core.config import Settings
from qstar_core.engine.headroom import Headroom
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.workspace import Workspace
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient


@task(name="generate shard", task_run_name="generate shard {shard}", retries=RETRIES, retry_delay_seconds=DELAYS_S,
      retry_condition_fn=retry_if_transient)
def generate_task(settings: Settings, plan_key: str, shard: int) -> int:
    """Samples in the shard; they and their hash are in the ledger."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    entry = generate_shard(
        workspace, plan, shard, lambda: _engine(settings, plan),
        lambda samples, tokens: emit(Event("generate", done=samples, total=plan.samples, tokens=tokens)),
    )
    rate = f", {entry.tokens / entry.seconds:,.0f} tokens/s" if entry.seconds else ""
    get_run_logger().info(f"shard {shard}: {entry.file.rows} samples, {entry.tokens} tokens{rate}")
    return entry.file.rows or 0


def _engine(settings: Settings, plan: Plan) -> Headroom:
    engine = engine_for(settings, plan.models, plan.context)
    engine.on_halved = _tell_of_memory
    return engine


def _tell_of_memory(slots: int) -> None:
    line = f"ran out; going on with {slots} samples in flight"
    get_run_logger().warning(f"memory {line}")
    emit(Event("memory", line))
