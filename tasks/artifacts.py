"""What a round leaves on the Prefect server: the same numbers as in the report, under keys that stay, so that the
history of a key shows how a dataset changes. Texts of models are data: tables hold them as cells, Markdown gets none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from qstar_core.plural import counted
from qstar_core.records import DatasetVersion, FunnelStep, GateReport
from qstar_core.report.charts import Chart
from qstar_core.report.overview import KeyFigure, check_views


def key_of(dataset: str, what: str) -> str:
    """Artifact keys take small letters, digits and dashes."""
    return f"{re.sub('[^a-z0-9]+', '-', dataset)}-{what}"


def funnel_artifact(dataset: str, version: str, funnel: Iterable[FunnelStep]) -> None:
    create_table_artifact(
        key=key_of(dataset, "funnel"), description=f"Funnel of {version}",
        table=[{"stage": step.stage, "entered": step.entered, "kept": step.kept,
                "dropped": step.told} for step in funnel],
    )


def gate_artifact(dataset: str, version: str, gate: GateReport) -> None:
    against = f", drift against {gate.previous}" if gate.previous else ""
    create_table_artifact(
        key=key_of(dataset, "gate"), description=f"Gate of {version}: {gate.verdict.value}{against}",
        table=[{"check": view.name, "verdict": view.verdict, "value": view.value, "95 % interval": view.interval,
                "allowed": view.allowed, "note": view.note, "usual cause": view.cause,
                "examples": "; ".join(" ".join(example) for example in view.examples)}
               for view in check_views(gate.checks)],
    )


def figures_artifacts(dataset: str, version: str, figures: Iterable[KeyFigure], charts: Iterable[Chart]) -> None:
    create_table_artifact(
        key=key_of(dataset, "figures"), description=f"Key figures of {version}",
        table=[{"figure": figure.label, "value": figure.value, "note": figure.note} for figure in figures],
    )
    for chart in charts:
        create_image_artifact(chart.src, key=key_of(dataset, chart.key),
                              description=f"{chart.title}, {version}. {chart.text}")


def version_artifacts(version: DatasetVersion, docs: Iterable[str]) -> None:
    told = f"{version.dataset} {version.version}, {counted(version.rows, 'row')}"
    create_link_artifact(key=key_of(version.dataset, "report"), link=f"{version.uri}/report.html",
                         link_text=f"Report of {version.version}", description=told)
    links = "\n".join(f"- [{name}]({version.uri}/{name})" for name in docs)
    create_markdown_artifact(f"Data Docs of {version.version}\n\n{links}\n", key=key_of(version.dataset, "data-docs"),
                             description=told)


def approval_artifact(dataset: str, version: str, report: str, gate: GateReport) -> None:
    """What a person needs who has to decide."""
    warned = "\n".join(f"- {view.name}: {view.value}, allowed {view.allowed}" for view in check_views(gate.checks)
                       if view.verdict == "warn")
    create_markdown_artifact(
        f"`{version}` waits for approval. The gate warns of:\n\n{warned}\n\nRead [the report]({report}), then run "
        f"`qstar datasets approve {version} --by YOU --dataset {dataset}`, or the flow `publish-approved` with this "
        "version.\n",
        key=key_of(dataset, "approval"), description=f"{version} waits for a person",
    )
