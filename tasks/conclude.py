"""From finished shards to a published version: filter, gate, report, publish."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact

from qstar_core.config import Settings
from qstar_core.records import DatasetVersion, GateReport, GateVerdict
from qstar_core.selection.shares import shortfalls
from qstar_core.stages.judging import judge_round
from qstar_core.stages.plan import load_plan
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import speed, write_report
from qstar_core.stages.workspace import Workspace
from tasks.events import Event, emit
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient


@task(name="filter samples", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def filter_task(settings: Settings, plan_key: str) -> int:
    """Rows kept."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    found = refine(workspace, plan)
    rates = speed(found)
    if rates:
        emit(Event("generate", text=f"{found.tokens:,} tokens, {rates['tokens_per_second']:,.0f} tokens/s, "
                                    f"{rates['samples_per_minute']:,.0f} samples/min"))
    drops = [f"{count} {reason}" for step in found.funnel[2:] for reason, count in step.dropped.items()]
    told = f"{found.kept} of {found.samples} samples kept" + (f"; dropped: {', '.join(drops)}" if drops else "")
    told += "".join(f"; {count} rows of {version}" for version, count in found.replay.items())
    told += "".join(f"; {short}" for short in shortfalls(found.shares))
    get_run_logger().info(told)
    emit(Event("filter", text=told))
    create_table_artifact(
        key=f"{_slug(settings.dataset)}-funnel", description=f"Funnel of {plan.version}",
        table=[{"stage": step.stage, "entered": step.entered, "kept": step.kept,
                "dropped": ", ".join(f"{reason}: {count}" for reason, count in step.dropped.items())}
               for step in found.funnel],
    )
    return found.kept


@task(name="judge gate", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def gate_task(settings: Settings, plan_key: str) -> GateReport:
    workspace = Workspace.open(settings)
    report = judge_round(workspace, load_plan(workspace.store, plan_key))
    worst = [check.name for check in report.checks if check.verdict in (GateVerdict.FAIL, GateVerdict.WARN)]
    told = f"{report.verdict.value}, {len(report.checks)} checks" + (f"; look at: {', '.join(worst)}" if worst else "")
    get_run_logger().info(told)
    emit(Event("gate", text=told))
    create_table_artifact(
        key=f"{_slug(settings.dataset)}-gate", description=f"Gate: {report.verdict.value}",
        table=[check.model_dump(mode="json") for check in report.checks],
    )
    return report


@task(name="write report", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def report_task(settings: Settings, plan_key: str) -> str:
    """Where the page is."""
    workspace = Workspace.open(settings)
    key = write_report(workspace, load_plan(workspace.store, plan_key))
    emit(Event("report", text="the page of the version is written"))
    return workspace.store.locate(key)


@task(name="publish version", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def publish_task(settings: Settings, plan_key: str) -> DatasetVersion:
    workspace = Workspace.open(settings)
    version = publish(workspace, load_plan(workspace.store, plan_key))
    told = f"{version.dataset} {version.version}, {version.rows} rows"
    get_run_logger().info(f"{told}: {version.uri}")
    emit(Event("publish", text=told))
    create_link_artifact(key=f"{_slug(settings.dataset)}-report", link=f"{version.uri}/report.html",
                         link_text=f"Report of {version.version}", description=told)
    return version


def _slug(name: str) -> str:
    """Artifact keys take small letters, digits and dashes."""
    return name.replace(".", "-").replace("_", "-")
