"""A judged round → the page a person reads, with a stratified choice of samples told token by token."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq

from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.models import present
from qstar_core.records import MixSummary, Outcome, Verdict
from qstar_core.report.charts import Chart, charts
from qstar_core.report.data import ReportData, ShownSample, Summaries
from qstar_core.report.overview import KeyFigure, key_figures
from qstar_core.report.render import render_report
from qstar_core.stages.judged import DIAGNOSTICS, fetched, parquet_rows
from qstar_core.stages.judging import gate_report
from qstar_core.stages.pages import pages, record_pages, report_key
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import Staged, finished_samples, staged
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import store_bytes

T = TypeVar("T")
_OUTCOMES = tuple(Outcome)
_VERDICT = ("sample_id", "prompt_id", "outcome", "stage", "reason", "score", "duplicate_of")


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
            summaries=summary_columns(workspace, found, scratch), samples=_chosen(workspace, plan, found, scratch),
            total=found.samples, megabytes=workspace.settings.output.report_megabytes, replay=found.replay,
            files=_beside(workspace, plan, found),
        )
    key = report_key(plan)
    drawn = charts(data.summaries, data.samples)
    page = store_bytes(workspace.store, key, render_report(data, drawn).encode("utf-8", "replace"))
    record_pages(workspace, plan, [*(ref for ref in pages(workspace, plan) if ref.key != key), page])
    return WrittenReport(key, key_figures(data), drawn)


def _beside(workspace: Workspace, plan: Plan, found: Staged) -> tuple[str, ...]:
    """What lies in the version's folder with the page, Data Docs first."""
    docs = [ref.key for ref in pages(workspace, plan) if ref.key != report_key(plan)]
    data = [ref.key for ref in found.files]
    return (*(key.removeprefix(f"{plan.staged_key}/") for key in (*docs, *data)), "README.md", "manifest.json")


def speed(found: Staged) -> dict[str, float]:
    """Of the generation alone, as the shards measured it."""
    if found.seconds <= 0:
        return {}
    return {"tokens_per_second": found.tokens / found.seconds, "samples_per_minute": 60 * found.samples / found.seconds}


def summary_columns(workspace: Workspace, found: Staged, scratch: Path) -> Summaries:
    """Of every sample that has a summary, in the order of the plan; NaN where a number is missing."""
    path = fetched(workspace.store, found.files, DIAGNOSTICS, scratch)
    table = pq.read_table(path, columns=list(MixSummary.model_fields))
    table = table.filter(table["tokens"].is_valid())
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}


def _chosen(workspace: Workspace, plan: Plan, found: Staged, scratch: Path) -> tuple[ShownSample, ...]:
    """As many of each outcome and reason as the report has room for, the same ones every time."""
    settings = workspace.settings.output
    rank = {id_: place for place, id_ in enumerate(_ids(verdicts(workspace, found, scratch), settings.report_samples))}
    student = present(plan.models["student"])
    tokenizer = ChatTokenizer(student.name, Path(student.path))
    chosen: dict[int, ShownSample] = {}
    every = zip(finished_samples(workspace, plan, scratch), verdicts(workspace, found, scratch), strict=True)
    for (_, planned, finished), verdict in every:
        place = rank.get(finished.sample.id)
        if place is not None:
            trace = finished.trace if place < settings.report_told else None
            chosen[place] = ShownSample(
                sample=finished.sample, verdict=verdict, pair=planned.pair, trace=trace,
                tokens=() if trace is None else tokenizer.pieces(finished.sample.token_ids),
                answer=planned.prompt.answer)
    return tuple(chosen[place] for place in sorted(chosen))


def _ids(judged: Iterable[Verdict], wanted: int) -> Iterator[str]:
    """The ids of the samples to show: one of each outcome and reason, then the second of each, and so on, by their
    hashes. Memory holds twice as many a reason as are wanted."""
    strata: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for verdict in judged:
        ids = strata[_OUTCOMES.index(verdict.outcome), verdict.stage, verdict.reason]
        ids.append(verdict.sample_id)
        if len(ids) > 2 * wanted + 1_000:
            ids.sort()
            del ids[wanted:]
    return itertools.islice(_in_turn(sorted(strata[key]) for key in sorted(strata)), wanted)


def verdicts(workspace: Workspace, found: Staged, scratch: Path) -> Iterator[Verdict]:
    """As refining wrote them, in the order of the plan: no sample is judged twice."""
    path = fetched(workspace.store, found.files, DIAGNOSTICS, scratch)
    for row in parquet_rows(path, [*_VERDICT]):
        yield Verdict(**{**row, "outcome": Outcome(row["outcome"]), "duplicate_of": row.get("duplicate_of") or ""})


def _in_turn(groups: Iterable[list[T]]) -> Iterator[T]:
    """One of each group, then the second of each, and so on."""
    for round_ in itertools.zip_longest(*groups):
        yield from (entry for entry in round_ if entry is not None)
