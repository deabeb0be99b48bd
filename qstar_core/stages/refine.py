"""Finished shards → judged rows: every sample through the filters in the order of the plan, every outcome written.

The files go under `staged/`; they are the same bytes whenever the same round is refined again, run id aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pydantic import Field

from qstar_core.config import Settings
from qstar_core.engine.protocol import Finished
from qstar_core.errors import NotFoundError
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import FilterChain
from qstar_core.records import FileRef, FunnelStep, Outcome, Prompt, Record, RowReject, ShareLine
from qstar_core.stages.filtering import filter_context
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.outputs import (
    DATA,
    DIAGNOSTICS,
    VALIDATION,
    RowWriter,
    data_row,
    diagnostics_row,
    held_out_row,
    reject_of_row,
    reject_row,
    trace_row,
    traces_schema,
)
from qstar_core.stages.plan import Plan, PlannedPrompt
from qstar_core.stages.selecting import select
from qstar_core.stages.shardfile import read_samples
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import download_verified, store_file

NAMES = ("data/data.jsonl", "data/data.parquet", "diagnostics/diagnostics.jsonl", "diagnostics/diagnostics.parquet",
         "traces/traces.parquet", "rejects/rejects.jsonl", "validation/validation.jsonl",
         "validation/validation.parquet")


class Staged(Record):
    """What refining left: `files` are keyed below the plan's staged folder. `kept` counts the round's own rows,
    `replay` those of earlier versions beside them, by version, `not_chosen` what the filters passed in vain."""

    files: tuple[FileRef, ...]
    funnel: tuple[FunnelStep, ...]
    samples: int
    kept: int
    failed: int
    tokens: int
    seconds: float
    not_chosen: int = 0
    replay: dict[str, int] = Field(default_factory=dict)
    shares: tuple[ShareLine, ...] = ()


def staged(workspace: Workspace, plan: Plan) -> Staged:
    return load_record(workspace.store, f"{plan.staged_key}/staged.json", Staged)


def refine(workspace: Workspace, plan: Plan) -> Staged:
    settings = workspace.settings
    with workspace.scratch() as scratch, FilterChain(
        settings.filters, filter_context(workspace, plan), settings.filtering.processes
    ) as chain:
        rows = _Writers(scratch, settings, held_out=plan.validation is not None)
        kept = failed = 0
        with rows:
            for stage, ref in zip(("ingest", "render"), plan.rejects, strict=True):
                for reject in load_lines(workspace.store, ref, RowReject):
                    rows.rejects.write(reject_of_row(stage, reject))
            if rows.validation is not None and plan.validation is not None:
                for prompt in load_lines(workspace.store, plan.validation, Prompt):
                    rows.validation.write(held_out_row(plan, prompt))
            for (index, planned, finished), verdict in chain.judged(
                lambda: finished_samples(workspace, plan, scratch),
                lambda found: Candidate(found[1].prompt, found[2].sample),
            ):
                kept += verdict.outcome is Outcome.KEPT
                failed += verdict.outcome is Outcome.FAILED
                rows.diagnostics.write(diagnostics_row(index, finished, verdict))
                trace = trace_row(index, finished)
                if rows.traces is not None and trace is not None:
                    rows.traces.write(trace)
                if verdict.outcome is Outcome.KEPT:
                    rows.data.write(data_row(plan, planned, index, finished))
                else:
                    rows.rejects.write(reject_row(index, planned, finished, verdict))
        entries = [entry for shard in plan.shards if (entry := ledger_entry(workspace.store, plan, shard.index))]
        result = Staged(
            files=tuple(store_file(workspace.store, f"{plan.staged_key}/{name}", scratch / name, rows=count)
                        for name, count in rows.counts().items()),
            funnel=(*plan.funnel, *chain.funnel()), samples=plan.samples, kept=kept, failed=failed,
            tokens=sum(entry.tokens for entry in entries), seconds=sum(entry.seconds for entry in entries),
        )
    result = select(workspace, plan, result)
    workspace.store.write(f"{plan.staged_key}/staged.json", result.model_dump_json(indent=1).encode())
    return result


def finished_samples(workspace: Workspace, plan: Plan, scratch: Path) -> Iterator[tuple[int, PlannedPrompt, Finished]]:
    """(index in the round, prompt, sample) of every sample, in the order of the plan, one shard in memory at a time."""
    path = scratch / "shard.parquet"
    for shard in plan.shards:
        entry = ledger_entry(workspace.store, plan, shard.index)
        if entry is None:
            raise NotFoundError(f"shard {shard.index} of {plan.version} is not finished", "run the round again")
        download_verified(workspace.store, entry.file, path)
        samples = read_samples(path)
        for planned in load_lines(workspace.store, shard.jobs, PlannedPrompt):
            for offset in range(len(planned.sample_ids)):
                yield planned.first_sample + offset, planned, next(samples)


class _Writers:
    """All files of a version, opened and closed together."""

    def __init__(self, folder: Path, settings: Settings, held_out: bool) -> None:
        for name in NAMES:
            (folder / name).parent.mkdir(exist_ok=True)
        self.data = RowWriter(folder / NAMES[1], folder / NAMES[0], DATA)
        self.diagnostics = RowWriter(folder / NAMES[3], folder / NAMES[2], DIAGNOSTICS)
        traces = settings.output.traces and settings.engine.diagnostics
        schema = traces_schema(settings.engine.top_logprobs)
        self.traces = RowWriter(folder / NAMES[4], None, schema, group=256) if traces else None
        self.rejects = RowWriter(None, folder / NAMES[5], None)
        self.validation = RowWriter(folder / NAMES[7], folder / NAMES[6], VALIDATION) if held_out else None
        self._open = ExitStack()

    def counts(self) -> dict[str, int]:
        """Rows by file, of the files that are written."""
        counts = {NAMES[0]: self.data.rows, NAMES[1]: self.data.rows, NAMES[2]: self.diagnostics.rows,
                  NAMES[3]: self.diagnostics.rows, NAMES[5]: self.rejects.rows}
        if self.traces is not None:
            counts[NAMES[4]] = self.traces.rows
        if self.validation is not None:
            counts |= dict.fromkeys(NAMES[6:], self.validation.rows)
        return counts

    def __enter__(self) -> _Writers:
        for writer in (self.data, self.diagnostics, self.traces, self.rejects, self.validation):
            if writer is not None:
                self._open.enter_context(writer)
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.__exit__(*raised)  # type: ignore[arg-type]
