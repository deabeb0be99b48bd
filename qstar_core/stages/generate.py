"""One shard: jobs → finished samples. Row checkpoints while it runs; file, hash and ledger line when it is done.

After a crash the rows of the checkpoints are kept and only what is missing is sampled; nothing finished runs twice. Who
asks to stop gets a KeyboardInterrupt as soon as all samples in flight are in a checkpoint.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qstar_core.engine.protocol import Engine, Finished, Job
from qstar_core.errors import ConflictError, EngineError
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.parts import Parts
from qstar_core.stages.plan import LedgerEntry, Plan, PlannedPrompt
from qstar_core.stages.shardfile import write_samples
from qstar_core.stages.stopping import Stop
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_file, store_file
from qstar_core.store.objects import ObjectStore

Progress = Callable[[list[Finished]], None]


def ledger_entry(store: ObjectStore, plan: Plan, shard: int) -> LedgerEntry | None:
    """The line of a finished shard; None also where the file that it names is gone or has another size."""
    key = plan.ledger_key(shard)
    if store.head(key) is None:
        return None
    entry = load_record(store, key, LedgerEntry)
    file = store.head(entry.file.key)
    return entry if file is not None and file.size == entry.file.bytes else None


def generate_shard(workspace: Workspace, plan: Plan, shard: int, engine: Callable[[], Engine],
                   on_progress: Progress | None = None, stop: Stop | None = None) -> LedgerEntry:
    """`engine` is called only where something is left to sample. `on_progress` hears of new samples."""
    store, stop = workspace.store, stop or Stop()
    entry = ledger_entry(store, plan, shard)
    if entry is not None:
        return entry
    store.delete(plan.ledger_key(shard))  # a line whose file is gone must not stand in the way of the new one
    jobs = _jobs(load_lines(store, plan.shards[shard].jobs, PlannedPrompt))
    with workspace.scratch() as scratch:
        parts = Parts(store, plan.parts_key(shard), scratch)
        done = {finished.sample.id: finished for finished in parts.read()}
        missing = [job for job in jobs if job.sample_id not in done]
        if missing:
            running = _batches(engine().generate(stop.begun(missing)), workspace.settings.round.checkpoint_every, stop)
            for batch in running:
                parts.append(batch.rows, batch.seconds)
                done.update((row.sample.id, row) for row in batch.rows)
                if on_progress is not None:
                    on_progress(batch.rows)
        lost = [job.sample_id for job in jobs if job.sample_id not in done]
        if lost and stop.asked:
            raise KeyboardInterrupt
        if lost:
            raise EngineError(f"shard {shard}: the engine returned nothing for sample {lost[0]}", "report this bug")
        return _finish(workspace, plan, shard, [done[job.sample_id] for job in jobs], parts, scratch)


def _finish(workspace: Workspace, plan: Plan, shard: int, rows: list[Finished], parts: Parts,
            scratch: Path) -> LedgerEntry:
    path = scratch / "shard.parquet"
    write_samples(path, rows, parts.tokens, parts.seconds)
    sha256 = sha256_file(path)
    ref = store_file(workspace.store, plan.shard_key(shard, sha256), path, rows=len(rows), sha256=sha256)
    entry = LedgerEntry(shard=shard, file=ref, tokens=parts.tokens, seconds=parts.seconds)
    with contextlib.suppress(ConflictError):  # another run finished the same shard first; its line stands
        workspace.store.write(plan.ledger_key(shard), entry.model_dump_json().encode(), if_absent=True)
    parts.delete()
    return load_record(workspace.store, plan.ledger_key(shard), LedgerEntry)


class _Batch:
    def __init__(self, rows: list[Finished], seconds: float) -> None:
        self.rows, self.seconds = rows, seconds


def _batches(finished: Iterator[Finished], size: int, stop: Stop) -> Iterator[_Batch]:
    """Finished samples in groups of `size`, each with the seconds that the engine took for it."""
    rows: list[Finished] = []
    since = time.monotonic()
    try:
        for row in finished:
            stop.ended()
            rows.append(row)
            if len(rows) == size:
                yield _Batch(rows, time.monotonic() - since)
                rows, since = [], time.monotonic()
    except (KeyboardInterrupt, EngineError):  # what is finished is kept before the run ends
        if rows:
            yield _Batch(rows, time.monotonic() - since)
        raise
    if rows:
        yield _Batch(rows, time.monotonic() - since)


def _jobs(planned: list[PlannedPrompt]) -> list[Job]:
    return [
        Job(sample_id, prompt.pair, prompt.first_draw + offset)
        for prompt in planned
        for offset, sample_id in enumerate(prompt.sample_ids)
    ]
