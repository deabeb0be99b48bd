"""One sample on its way: what was drawn so far, and what it becomes when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qstar_core.engine.protocol import Finished, Job
from qstar_core.engine.stops import StopStrings, StopWatch
from qstar_core.mixture.diagnostics import summarise, trace_of
from qstar_core.records import FinishReason, Sample
from qstar_core.rng import sample_key

UNWANTED = "nobody waits for it any more"


@dataclass(slots=True)
class Sequence:
    """`limit` is the most tokens that the settings and the context leave room for; `watch` looks for stop strings."""

    job: Job
    seed: int
    max_tokens: int
    limit: int
    key: int = 0
    watch: StopWatch | None = None
    stopped: bool = False
    wanted: bool = True
    tokens: list[int] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def start(cls, job: Job, seed: int, max_tokens: int, context: int, stops: StopStrings) -> Sequence:
        """`seed` and `max_tokens` are for jobs that have none of their own."""
        seed = seed if job.seed is None else job.seed
        max_tokens = max_tokens if job.max_tokens is None else job.max_tokens
        room = context - max(len(job.pair.student_ids), len(job.pair.teacher_ids))
        key = sample_key(seed, job.pair.prompt_id, job.draw)
        return cls(job, seed, max_tokens, min(max_tokens, room), key, stops.watch())

    def append(self, token: int, row: np.ndarray | None) -> None:
        self.tokens.append(token)
        if row is not None:
            self.rows.append(row)
        if self.watch is not None:
            self.stopped = self.watch.read(token)

    def reason(self, eos_ids: frozenset[int]) -> FinishReason | None:
        """Why it ends with the last token, or None while it goes on."""
        if self.tokens[-1] in eos_ids or self.stopped:
            return FinishReason.STOP
        return FinishReason.LENGTH if len(self.tokens) >= self.limit else None

    def tell(self) -> None:
        """The job's listener hears of the last token."""
        if self.job.listener is not None:
            self.wanted = self.job.listener(len(self.tokens) - 1, self.tokens[-1])

    def finish(self, reason: FinishReason, text: str) -> Finished:
        """`text` is what the tokens say, the end of turn aside; a stop string cuts it."""
        if self.watch is not None and self.watch.text is not None:
            text = self.watch.text
        trace = trace_of(np.stack(self.rows)) if self.rows else None
        summary = summarise(trace) if trace else None
        sample = Sample(
            id=self.job.sample_id, prompt_id=self.job.pair.prompt_id, draw=self.job.draw, completion=text,
            token_ids=tuple(self.tokens), finish_reason=reason, seed=self.seed, max_tokens=self.max_tokens,
            summary=summary,
        )
        return Finished(sample, trace)

    def fail(self, error: str) -> Finished:
        sample = Sample(
            id=self.job.sample_id, prompt_id=self.job.pair.prompt_id, draw=self.job.draw, completion="",
            token_ids=tuple(self.tokens), finish_reason=FinishReason.ERROR, seed=self.seed,
            max_tokens=self.max_tokens, error=error,
        )
        return Finished(sample, None)
