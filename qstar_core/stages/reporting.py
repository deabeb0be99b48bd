"""A judged round → the page a person reads, with a stratified choice of samples told token by token."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qstar_core.engine.protocol import Finished
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.models import present
from qstar_core.records import Outcome, Verdict
from qstar_core.report.charts import Chart, charts
from qstar_core.report.data import ReportData, ShownSample
from qstar_core.report.overview import KeyFigure, key_figures
from qstar_core.report.render import render_report
from qstar_core.stages.judged import DIAGNOSTICS, fetched, parquet_rows
from qstar_core.stages.judging import gate_report, summaries
from qstar_core.stages.plan import Plan, PlannedPrompt
from qstar_core.stages.refine import Staged, finished_samples, staged
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import store_bytes

T = TypeVar("T")
_VERDICT = ("sample_id", "prompt_id", "outcome", "stage", "reason", "score")


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The key of the page, and what others show of it too."""

    key: str
    figures: tuple[KeyFigure, ...]
    charts: tuple[Chart, ...]


def write_report(workspace: Workspace, plan: Plan) -> WrittenReport:
    found = staged(workspace, plan)
    with workspace.scratch() as scratch:
        data = ReportData(
            dataset=plan.dataset, version=plan.version, round=plan.round, created=plan.created, funnel=found.funnel,
            gate=gate_report(workspace, plan), models=plan.models, settings=plan.settings, speed=speed(found),
            summaries=tuple(summaries(workspace, found)), samples=tuple(_chosen(workspace, plan, found, scratch)),
            replay=found.replay,
        )
    key = report_key(plan)
    drawn = charts(data.summaries, data.samples)
    store_bytes(workspace.store, key, render_report(data, drawn).encode("utf-8", "replace"))
    return WrittenReport(key, key_figures(data), drawn)


def report_key(plan: Plan) -> str:
    return f"{plan.staged_key}/report.html"


def speed(found: Staged) -> dict[str, float]:
    """Of the generation alone, as the shards measured it."""
    if found.seconds <= 0:
        return {}
    return {"tokens_per_second": found.tokens / found.seconds, "samples_per_minute": 60 * found.samples / found.seconds}


def _chosen(workspace: Workspace, plan: Plan, found: Staged, scratch: Path) -> Iterator[ShownSample]:
    """As many of each outcome and reason as the report has room for, the same ones every time."""
    wanted = workspace.settings.output.report_samples
    strata: dict[tuple[str, str], list[tuple[str, PlannedPrompt, Finished, Verdict]]] = defaultdict(list)
    every = zip(finished_samples(workspace, plan, scratch), verdicts(workspace, found, scratch), strict=True)
    for (_, planned, finished), verdict in every:
        stratum = strata[verdict.stage, verdict.reason]
        stratum.append((finished.sample.id, planned, finished, verdict))
        stratum.sort(key=lambda entry: entry[0])
        del stratum[wanted:]
    student = present(plan.models["student"])
    tokenizer = ChatTokenizer(student.name, Path(student.path))
    for _, planned, finished, verdict in itertools.islice(_in_turn(strata[key] for key in sorted(strata)), wanted):
        yield ShownSample(sample=finished.sample, verdict=verdict, pair=planned.pair, trace=finished.trace,
                          tokens=tokenizer.pieces(finished.sample.token_ids), answer=planned.prompt.answer)


def verdicts(workspace: Workspace, found: Staged, scratch: Path) -> Iterator[Verdict]:
    """As refining wrote them, in the order of the plan: no sample is judged twice."""
    path = fetched(workspace.store, found.files, DIAGNOSTICS, scratch)
    for row in parquet_rows(path, [*_VERDICT]):
        yield Verdict(**{**row, "outcome": Outcome(row["outcome"])})


def _in_turn(groups: Iterable[list[T]]) -> Iterator[T]:
    """One of each group, then the second of each, and so on."""
    for round_ in itertools.zip_longest(*groups):
        yield from (entry for entry in round_ if entry is not None)
