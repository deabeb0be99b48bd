"""One shard: jobs → finished samples. Row checkpoints while it runs; file, hash and ledger line when it is done.

After a crash the rows of the checkpoints are kept and only what is missing is sampled; nothing finished runs twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qstar_core.engine.protocol import Engine, Finished, Job
from qstar_core.errors import ConflictError, EngineError
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.plan import LedgerEntry, Plan, PlannedPrompt
from qstar_core.stages.shardfile import read_samples, read_work, write_samples
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import sha256_file, store_file
from qstar_core.store.objects import ObjectStore

Progress = Callable[[list[Finished]], None]

_DIGEST = 16


def ledger_entry(store: ObjectStore, plan: Plan, shard: int) -> LedgerEntry | None:
    """The line of a finished shard; None also where the file that it names is gone or has another size."""
    key = plan.ledger_key(shard)
    if store.head(key) is None:
        return None
    entry = load_record(store, key, LedgerEntry)
    file = store.head(entry.file.key)
    return entry if file is not None and file.size == entry.file.bytes else None


def generate_shard(workspace: Workspace, plan: Plan, shard: int, engine: Callable[[], Engine],
                   on_progress: Progress | None = None) -> LedgerEntry:
    """`engine` is called only where something is left to sample. `on_progress` hears of new samples."""
    store = workspace.store
    entry = ledger_entry(store, plan, shard)
    if entry is not None:
        return entry
    store.delete(plan.ledger_key(shard))  # a line whose file is gone must not stand in the way of the new one
    jobs = _jobs(load_lines(store, plan.shards[shard].jobs, PlannedPrompt))
    with workspace.scratch() as scratch:
        parts = _Parts(store, plan.parts_key(shard), scratch)
        done = {finished.sample.id: finished for finished in parts.read()}
        missing = [job for job in jobs if job.sample_id not in done]
        if missing:
            for batch in _batches(engine().generate(missing), workspace.settings.round.checkpoint_every):
                parts.append(batch.rows, batch.seconds)
                done.update((row.sample.id, row) for row in batch.rows)
                if on_progress is not None:
                    on_progress(batch.rows)
        lost = [job.sample_id for job in jobs if job.sample_id not in done]
        if lost:
            raise EngineError(f"shard {shard}: the engine returned nothing for sample {lost[0]}", "report this bug")
        return _finish(workspace, plan, shard, [done[job.sample_id] for job in jobs], parts, scratch)


def _finish(workspace: Workspace, plan: Plan, shard: int, rows: list[Finished], parts: _Parts,
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


class _Parts:
    """The row checkpoints of one shard: small files, each named by its number and its hash."""

    def __init__(self, store: ObjectStore, prefix: str, scratch: Path) -> None:
        self._store, self._prefix, self._path = store, prefix, scratch / "part.parquet"
        self._next = 0
        self.tokens, self.seconds = 0, 0.0

    def read(self) -> Iterator[Finished]:
        """What is there and whole; anything else in the folder is removed, and its rows are sampled again."""
        for info in list(self._store.list(self._prefix)):
            self._store.download(info.key, self._path)
            number, _, digest = Path(info.key).stem.partition("-")
            if digest != sha256_file(self._path)[:_DIGEST]:
                self._store.delete(info.key)
                continue
            tokens, seconds = read_work(self._path)
            self._next = max(self._next, int(number) + 1)
            self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds
            yield from read_samples(self._path)

    def append(self, rows: list[Finished], seconds: float) -> None:
        tokens = sum(len(row.sample.token_ids) for row in rows)
        write_samples(self._path, rows, tokens, seconds)
        digest = sha256_file(self._path)[:_DIGEST]
        self._store.upload(f"{self._prefix}{self._next:06d}-{digest}.parquet", self._path)
        self._next += 1
        self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

    def delete(self) -> None:
        for info in list(self._store.list(self._prefix)):
            self._store.delete(info.key)


class _Batch:
    def __init__(self, rows: list[Finished], seconds: float) -> None:
        self.rows, self.seconds = rows, seconds


def _batches(finished: Iterator[Finished], size: int) -> Iterator[_Batch]:
    """Finished samples in groups of `size`, each with the seconds that the engine took for it."""
    rows: list[Finished] = []
    since = time.monotonic()
    for row in finished:
        rows.append(row)
        if len(rows) == size:
            yield _Batch(rows, time.monotonic() - since)
            rows, since = [], time.monotonic()
    if rows:
        yield _Batch(rows, time.monotonic() - since)


def _jobs(planned: list[PlannedPrompt]) -> list[Job]:
    return [
        Job(sample_id, prompt.pair, prompt.first_draw + offset)
        for prompt in planned
        for offset, sample_id in enumerate(prompt.sample_ids)
    ]
