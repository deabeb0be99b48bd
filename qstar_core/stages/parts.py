"""The row checkpoints of one shard: small files of finished samples, each named by its number and its hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qstar_core.engine.protocol import Finished
from qstar_core.stages.shardfile import read_samples, read_work, write_samples
from qstar_core.store.integrity import sha256_file
from qstar_core.store.objects import ObjectStore

_DIGEST = 16


class Parts:
    """`tokens` and `seconds` are the work in all that was read and appended."""

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
