"""From settings to a planned round: models, prompts, shards."""

from __future__ import annotations

from prefect import get_run_logger, task

from qstar_core.config import Settings
from qstar_core.models import resolve_models
from qstar_core.plural import counted
from qstar_core.records import ModelRef
from qstar_core.stages.changes import changes, last_plan
from qstar_core.stages.crashes import crashes_counted
from qstar_core.stages.ingest import ingest
from qstar_core.stages.inspection import one_line
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.plan import Ingest, PlannedPrompt, load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.workspace import Workspace
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient

_LONGEST = 400


@task(name="resolve models", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def resolve_models_task(settings: Settings) -> dict[str, ModelRef]:
    models = resolve_models(settings, Workspace.open(settings).store, _Building())
    told = ", ".join(f"{role} {ref.name} ({ref.sha256[:8]})" for role, ref in models.items())
    get_run_logger().info(told)
    emit(Event("models", text=told))
    return models


@task(name="ingest prompts", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def ingest_task(settings: Settings, round_name: str) -> str:
    workspace = Workspace.open(settings)
    with crashes_counted(workspace, workspace.round_key(round_name), "ingest"):
        key = ingest(workspace, round_name)
    found = load_record(workspace.store, key, Ingest)
    told = (f"{counted(found.prompts.rows or 0, 'prompt')} from {settings.source.path}, "
            f"{counted(found.rejects.rows or 0, 'row')} rejected")
    if found.funnel.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.funnel.dropped.items())
        told += f": {one_line(reasons, _LONGEST)}"
    if (found.prompts.rows or 0) < settings.round.prompts:
        told += f"; the source has no more to give, round.prompts asks for {settings.round.prompts}"
    get_run_logger().info(told)
    emit(Event("ingest", text=told))
    if found.schema_name:
        taken_for = f"{found.schema_name}, by the columns {one_line(', '.join(found.columns), _LONGEST)}"
        get_run_logger().info("schema %s", taken_for)
        emit(Event("schema", text=taken_for))
    return key


@task(name="plan shards", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def plan_task(settings: Settings, ingest_key: str, models: dict[str, ModelRef], run_id: str) -> str:
    workspace = Workspace.open(settings)
    before = last_plan(workspace, load_record(workspace.store, ingest_key, Ingest).round)
    with crashes_counted(workspace, ingest_key.rpartition("/")[0], "plan"):
        key = plan_round(workspace, ingest_key, models, run_id)
    plan = load_plan(workspace.store, key)
    if before is not None and before.version != plan.version:
        for change in changes(before, settings, models):
            told = one_line(change.told, _LONGEST)
            get_run_logger().info(told)
            emit(Event("changed", text=told))
    told = f"{counted(plan.samples, 'sample')} in {counted(len(plan.shards), 'shard')}, version {plan.version}"
    if plan.taken_over:
        told += f"; {plan.taken_over} of them were finished by an earlier plan of the round"
    rendered = plan.funnel[-1]
    if rendered.dropped:
        reasons = ", ".join(f"{count}: {reason}" for reason, count in rendered.dropped.items())
        told += f"; {rendered.entered - rendered.kept} of {counted(rendered.entered, 'prompt')} dropped ({reasons})"
    get_run_logger().info(told)
    emit(Event("plan", text=told))
    if 2 * plan.answers_read > plan.prompts:
        read = (f"reads the gold answer in {plan.answers_read} of {counted(plan.prompts, 'prompt')}: see that no "
                "template writes it, or leave such prompts out with prompts.answer_in_question=drop")
        get_run_logger().warning(f"the student {read}")
        emit(Event("student", text=read))
    pair = load_lines(workspace.store, plan.shards[0].jobs, PlannedPrompt)[0].pair
    emit(Event("student", text=f"reads {one_line(pair.student_text, _LONGEST)}"))
    emit(Event("teacher", text=f"reads {one_line(pair.teacher_text, _LONGEST)}"))
    return key


class _Building:
    """Says once that models are trained, then how far each is."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, model: str, done: int, total: int) -> None:
        if not self._told:
            emit(Event("models", text="training two small models, once; half a minute to two"))
            self._told = True
        emit(Event("models", item=model, done=done, total=total))
