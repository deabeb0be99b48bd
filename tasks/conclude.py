"""From finished shards to a published version: filter, gate, report, approve, publish."""

from __future__ import annotations

from prefect import get_run_logger, task

from qstar_core.config import Settings
from qstar_core.plural import counted
from qstar_core.records import DatasetVersion, GateReport, GateVerdict
from qstar_core.selection.shares import shortfalls
from qstar_core.stages.approving import approve
from qstar_core.stages.crashes import crashes_counted
from qstar_core.stages.judging import gate_report, judge_round
from qstar_core.stages.pages import report_key
from qstar_core.stages.plan import load_plan
from qstar_core.stages.publishing import data_docs, lacks_approval, publish
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import speed, write_report
from qstar_core.stages.workspace import Workspace
from tasks.artifacts import approval_artifact, figures_artifacts, funnel_artifact, gate_artifact, version_artifacts
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient
from tasks.watching import WAITS, announce, announce_published


@task(name="filter samples", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def filter_task(settings: Settings, plan_key: str) -> int:
    """Rows kept."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    with crashes_counted(workspace, plan.key, "filter"):
        found = refine(workspace, plan)
    rates = speed(found)
    if rates:
        emit(Event("generate", text=f"{found.tokens:,} tokens, {rates['tokens_per_second']:,.0f} tokens/s, "
                                    f"{rates['samples_per_minute']:,.0f} samples/min"))
    drops = [f"{count} {reason}" for step in found.funnel[2:] for reason, count in step.dropped.items()]
    told = f"{found.kept} of {counted(found.samples, 'sample')} kept"
    told += f"; dropped: {', '.join(drops)}" if drops else ""
    told += "".join(f"; {counted(count, 'row')} of {version}" for version, count in found.replay.items())
    told += "".join(f"; {short}" for short in shortfalls(found.shares))
    get_run_logger().info(told)
    emit(Event("filter", text=told))
    funnel_artifact(plan.dataset, plan.version, found.funnel)
    return found.kept


@task(name="judge gate", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def gate_task(settings: Settings, plan_key: str) -> GateReport:
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    with crashes_counted(workspace, plan.key, "gate"):
        report = judge_round(workspace, plan)
    worst = [check.name for check in report.checks if check.verdict in (GateVerdict.FAIL, GateVerdict.WARN)]
    told = f"{report.verdict.value}: {report.told}" + (f"; look at: {', '.join(worst)}" if worst else "")
    get_run_logger().info(told)
    emit(Event("gate", text=told))
    gate_artifact(plan.dataset, plan.version, report)
    return report


@task(name="write report", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def report_task(settings: Settings, plan_key: str) -> str:
    """Where the page is."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    written = write_report(workspace, plan)
    emit(Event("report", text="the page of the version is written"))
    figures_artifacts(plan.dataset, plan.version, written.figures, written.charts)
    return workspace.store.locate(written.key)


@task(name="approve version", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def approve_task(settings: Settings, plan_key: str, by: str, comment: str) -> None:
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    given = approve(workspace, plan, by, comment)
    get_run_logger().info(f"{plan.dataset} {plan.version} approved by {given.by}")


@task(name="ask for approval", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def ask_task(settings: Settings, plan_key: str) -> str | None:
    """What a person is asked, told where they may see it; None where nobody has to be asked."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    asked = lacks_approval(workspace, plan)
    if asked is None:
        return None
    get_run_logger().info(str(asked))
    page = workspace.store.locate(report_key(plan))
    approval_artifact(plan.dataset, plan.version, page, gate_report(workspace, plan))
    announce(WAITS, plan.dataset, round=plan.round, problem=str(asked))
    return str(asked)


@task(name="publish version", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def publish_task(settings: Settings, plan_key: str) -> DatasetVersion:
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    version = publish(workspace, plan)
    told = f"{version.dataset} {version.version}, {counted(version.rows, 'row')}"
    get_run_logger().info(f"{told}: {version.uri}")
    emit(Event("publish", text=told))
    version_artifacts(version, data_docs(workspace, version))
    announce_published(version)
    return version
