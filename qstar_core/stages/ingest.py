"""Source → the prompts of one round, and the rows that could not become one.

Rounds take the source in order, each beginning where the furthest one ended; at the end it is read again, and the same
prompts get new draws. A round that was ingested before gets the same rows,
unless the file has changed since. Prompts that are held out for validation are rejects of the round with that reason,
and whole in a file of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qstar_core.errors import DataError
from qstar_core.plural import counted
from qstar_core.records import FunnelStep, Prompt, RowReject, content_hash
from qstar_core.sources.reading import Schema, read_source
from qstar_core.sources.rows import source_state
from qstar_core.sources.splitting import HELD_OUT, is_validation
from qstar_core.stages.lines import load_record, store_lines
from qstar_core.stages.plan import Ingest
from qstar_core.stages.workspace import Workspace


def ingest(workspace: Workspace, round_name: str) -> str:
    """The key of the round's Ingest record."""
    settings, store = workspace.settings, workspace.store
    source_hash = content_hash(settings.source.model_dump(mode="json", exclude={"s3"}))[:12]
    taken = f"{source_state(settings.source)}-{settings.round.prompts}x{settings.sampling.draws}"
    folder = f"{workspace.round_key(round_name)}/ingest-{source_hash}-{taken}"
    key = f"{folder}/ingest.json"
    if store.head(key) is not None:
        return key
    known = _known(workspace, source_hash)
    turn, start = _window_start(known, round_name)
    window = _read_window(workspace, start)
    if not window.prompts and start > 0:
        tail = window
        turn, start, window = turn + 1, 0, _read_window(workspace, 0)
        window.rejects[:0], window.held_out[:0] = tail.rejects, tail.held_out
    if not window.prompts:
        raise DataError(f"{settings.source.path} holds no usable prompt ({_most_common(window.rejects)})",
                        "check the file, source.adapter and the column settings")
    record = Ingest(
        round=round_name, source_hash=source_hash, turn=turn, draws=settings.sampling.draws,
        first_draw=max((r.first_draw + r.draws for r in known if r.turn < turn), default=0),
        start_row=start, end_row=window.end, exhausted=window.exhausted,
        schema_name=window.schema.name, columns=window.schema.columns,
        prompts=store_lines(store, f"{folder}/prompts.jsonl", window.prompts),
        validation=store_lines(store, f"{folder}/validation.jsonl", window.held_out) if window.held_out else None,
        rejects=store_lines(store, f"{folder}/rejects.jsonl", window.rejects),
        funnel=FunnelStep(stage="ingest", entered=len(window.prompts) + len(window.rejects), kept=len(window.prompts),
                          dropped=dict(sorted(Counter(r.reason for r in window.rejects).items()))),
    )
    store.write(key, record.model_dump_json().encode())
    return key


@dataclass
class _Window:
    """The rows of one round: from its first row to the one before `end`."""

    end: int
    prompts: list[Prompt] = field(default_factory=list)
    held_out: list[Prompt] = field(default_factory=list)
    rejects: list[RowReject] = field(default_factory=list)
    exhausted: bool = True
    schema: Schema = field(default_factory=lambda: Schema("", ()))


def _known(workspace: Workspace, source_hash: str) -> list[Ingest]:
    """What was ingested from the same source before, in any round."""
    return [
        load_record(workspace.store, info.key, Ingest)
        for info in workspace.store.list(f"{workspace.dataset_key}/rounds/")
        if info.key.endswith("/ingest.json") and f"/ingest-{source_hash}-" in info.key
    ]


def _window_start(known: list[Ingest], round_name: str) -> tuple[int, int]:
    """Which reading of the source, and from which row."""
    for record in known:
        if record.round == round_name:
            return record.turn, record.start_row
    if not known:
        return 0, 0
    last = max(known, key=lambda record: (record.turn, record.end_row))
    return (last.turn + 1, 0) if last.exhausted else (last.turn, last.end_row)


def _read_window(workspace: Workspace, start: int) -> _Window:
    """Rows from `start` until the round has its prompts, or until there are no more."""
    settings = workspace.settings
    window = _Window(end=start)

    def note(schema: Schema) -> None:
        window.schema = schema

    for position, read in enumerate(read_source(settings.source, note)):
        if position < start:
            continue
        if len(window.prompts) == settings.round.prompts:
            window.exhausted = False
            break
        window.end = position + 1
        if read.reject is not None:
            window.rejects.append(read.reject)
        elif read.prompt is not None and is_validation(read.prompt, settings.source.validation):
            window.held_out.append(read.prompt)
            window.rejects.append(RowReject(source=settings.source.path, row=read.row, reason=HELD_OUT,
                                            text=read.prompt.question[:300]))
        elif read.prompt is not None:
            window.prompts.append(read.prompt)
    return window


def _most_common(rejects: list[RowReject]) -> str:
    if not rejects:
        return "no rows"
    (reason, count), *_ = Counter(reject.reason for reject in rejects).most_common(1)
    return f"{count} of {counted(len(rejects), 'row')}: {reason}"
