"""What a process tells of samples that it kept: counts and ids, small enough to be sent to another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qstar_core.engine.protocol import Finished
from qstar_core.records import FinishReason


@dataclass(frozen=True, slots=True)
class Kept:
    shard: int
    samples: int
    tokens: int
    failed: int
    prompts: tuple[str, ...]

    @classmethod
    def of(cls, shard: int, rows: Sequence[Finished]) -> Kept:
        return cls(shard, len(rows), sum(len(row.sample.token_ids) for row in rows),
                   sum(row.sample.finish_reason is FinishReason.ERROR for row in rows),
                   tuple(dict.fromkeys(row.sample.prompt_id for row in rows)))
