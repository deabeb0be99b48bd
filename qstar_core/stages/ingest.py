"""Source → the prompts of one round, and the rows that could not become one.

Rounds take the source in order, each beginning where the furthest one ended; at the end it is read again, and the same
prompts get new draws. A round that was ingested before gets the same rows,
unless the file has changed since.
"""

from __future__ import annotations

from collections import Counter

from qstar_core.errors import DataError
from qstar_core.records import FunnelStep, Prompt, RowReject, content_hash
from qstar_core.sources.reading import read_source, source_state
from qstar_core.stages.lines import load_record, store_lines
from qstar_core.stages.plan import Ingest
from qstar_core.stages.workspace import Workspace


def ingest(workspace: Workspace, round_name: str) -> str:
    """The key of the round's Ingest record."""
    settings, store = workspace.settings, workspace.store
    source_hash = content_hash(settings.source.model_dump(mode="json"))[:12]
    taken = f"{source_state(settings.source)}-{settings.round.prompts}x{settings.sampling.draws}"
    folder = f"{workspace.round_key(round_name)}/ingest-{source_hash}-{taken}"
    key = f"{folder}/ingest.json"
    if store.head(key) is not None:
        return key
    known = _known(workspace, source_hash)
    turn, start = _window_start(known, round_name)
    prompts, rejects, end, exhausted = _read_window(workspace, start)
    if not prompts and start > 0:
        turn, start, unusable_tail = turn + 1, 0, rejects
        prompts, rejects, end, exhausted = _read_window(workspace, start)
        rejects = unusable_tail + rejects
    if not prompts:
        raise DataError(f"{settings.source.path} holds no usable prompt ({_most_common(rejects)})",
                        "check the file, source.adapter and the column settings")
    record = Ingest(
        round=round_name, source_hash=source_hash, turn=turn, draws=settings.sampling.draws,
        first_draw=max((r.first_draw + r.draws for r in known if r.turn < turn), default=0),
        start_row=start, end_row=end, exhausted=exhausted,
        prompts=store_lines(store, f"{folder}/prompts.jsonl", prompts),
        rejects=store_lines(store, f"{folder}/rejects.jsonl", rejects),
        funnel=FunnelStep(stage="ingest", entered=len(prompts) + len(rejects), kept=len(prompts),
                          dropped=dict(sorted(Counter(r.reason for r in rejects).items()))),
    )
    store.write(key, record.model_dump_json().encode())
    return key


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


def _read_window(workspace: Workspace, start: int) -> tuple[list[Prompt], list[RowReject], int, bool]:
    """Rows from `start` until the round has its prompts; the row after the last one; whether there are no more."""
    wanted = workspace.settings.round.prompts
    prompts: list[Prompt] = []
    rejects: list[RowReject] = []
    end = start
    for position, read in enumerate(read_source(workspace.settings.source)):
        if position < start:
            continue
        if len(prompts) == wanted:
            return prompts, rejects, end, False
        end = position + 1
        if read.prompt is not None:
            prompts.append(read.prompt)
        elif read.reject is not None:
            rejects.append(read.reject)
    return prompts, rejects, end, True


def _most_common(rejects: list[RowReject]) -> str:
    if not rejects:
        return "no rows"
    (reason, count), *_ = Counter(reject.reason for reject in rejects).most_common(1)
    return f"{count} of {len(rejects)} rows: {reason}"
