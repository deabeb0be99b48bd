"""One shard of q* samples. The engine stays loaded in the process for the next shard."""

from __future__ import annotations

import logging

from prefect import get_run_logger, task
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.engine.device_lock import hold_device
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.protocol import Finished
from qstar_core.plural import counted
from qstar_core.stages.crashes import checkpoints, crashes_counted
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.kept import Kept
from qstar_core.stages.plan import LedgerEntry, Plan, load_plan
from qstar_core.stages.stopping import rows_first
from qstar_core.stages.stuck import never_stuck
from qstar_core.stages.workspace import Workspace
from tasks.events import Event, Failure, ShardDone, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient


@task(name="generate shard", task_run_name="generate shard {shard}", retries=RETRIES, retry_delay_seconds=DELAYS_S,
      retry_condition_fn=retry_if_transient)
def generate_task(settings: Settings, plan_key: str, shard: int) -> int:
    """Samples in the shard; they and their hash are in the ledger."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    engine: list[Headroom] = []  # loaded only where something is left to sample
    grace_s, log = settings.operations.shutdown_seconds, get_run_logger()

    def stopping(flying: int) -> None:
        line = f"{counted(flying, 'sample')} in flight are finished first, for at most {grace_s:g} s"
        log.warning(f"stopping: {line}", extra={"shard": shard})
        emit(Event("stopping", f"{line}; Ctrl-C ends it at once"))

    def loaded() -> Headroom:
        engine.append(_engine(settings, plan))
        return engine[0]

    with (crashes_counted(workspace, plan.key, f"shard {shard}", checkpoints(workspace, plan, shard)),
          never_stuck(settings.operations.stuck_minutes) as alive, rows_first(grace_s, stopping) as stop):

        def kept(rows: list[Finished]) -> None:
            alive()
            tell_kept(plan, Kept.of(shard, rows))

        entry = generate_shard(workspace, plan, shard, loaded, kept, stop)
    if engine:
        emit(ShardDone(shard, entry.seconds, engine[0].acceptance))
    log_shard(entry)
    return entry.file.rows or 0


def log_shard(entry: LedgerEntry) -> None:
    rate = f", {entry.tokens / entry.seconds:,.0f} tokens/s" if entry.seconds else ""
    get_run_logger().info(f"shard {entry.shard}: {entry.file.rows} samples, {entry.tokens} tokens{rate}",
                          extra={"shard": entry.shard})


def tell_kept(plan: Plan, kept: Kept) -> None:
    logging.getLogger("qstar").info("samples kept", extra={"shard": kept.shard, "samples": kept.samples,
                                                           "tokens": kept.tokens, "prompts": list(kept.prompts)})
    if kept.failed:
        emit(Failure("sample", kept.failed))
    emit(Event("generate", done=kept.samples, total=plan.samples, tokens=kept.tokens))


def _engine(settings: Settings, plan: Plan) -> Headroom:
    who = f"{plan.dataset} {plan.version}, run {flow_run.name or 'by hand'}"
    hold_device(settings.engine.device, settings.operations.device_lock, who, tell_of_holder)
    engine = engine_for(settings, plan.models, plan.context)
    engine.on_halved = tell_of_memory
    return engine


def tell_of_holder(line: str) -> None:
    get_run_logger().warning(f"waiting: {line}")
    emit(Event("device", line))


def tell_of_memory(slots: int) -> None:
    line = f"ran out; going on with {slots} samples in flight"
    get_run_logger().warning(f"memory {line}")
    emit(Event("memory", line))
