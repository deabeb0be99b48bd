"""q* with vLLM: the protocol, settings, records and random numbers of the transformers engine.

A sample's tokens depend on the sample and the settings up to the last float bits of vLLM's logits, which change with
what else is in a step: two engines, or two runs, part only where float noise decides between two tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.arrivals import Arrivals
from qstar_core.engine.endings import failed, failure_of, no_room, text_of, with_room
from qstar_core.engine.protocol import Finished, Job
from qstar_core.engine.sequence import UNWANTED, Sequence
from qstar_core.engine.stops import StopStrings
from qstar_core.engine.strategy import DIAGNOSTICS
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.engine.vllm.adapters import Adapter
from qstar_core.engine.vllm.order import MixOrder
from qstar_core.engine.vllm.pairs import PairedRequests
from qstar_core.engine.vllm.process import Running
from qstar_core.engine.vllm.requests import Grown, NestedRequests, Requests
from qstar_core.errors import EngineError
from qstar_core.mixture.topk import check_top_k
from qstar_core.records import FinishReason, ModelRef

_PATIENCE = 1000
"""Steps in a row in which no sample gets a token, beside those of a prompt that is read token by token."""


class VllmEngine:
    """`server` gives the running vLLM for a student, and a new one after it failed. `eos_ids`: of both models."""

    def __init__(self, server: Callable[[ModelRef], Running], student: ModelRef, tokenizer: ChatTokenizer, vocab: int,
                 eos_ids: frozenset[int], context: int, alpha: AlphaSettings, sampling: SamplingSettings,
                 support: SupportSettings, engine: EngineSettings) -> None:
        check_top_k(engine.top_logprobs, vocab)
        self._server = server
        self._student = student
        self._tokenizer = tokenizer
        self._context = context
        self._sampling = sampling
        self._count = engine.batch_size
        self._stops = StopStrings(sampling.stop, tokenizer)
        self._eos_ids = self._stops.token_ids | eos_ids
        self._order = MixOrder(alpha=alpha, sampling=sampling, support=support, engine=engine, vocab=vocab,
                               special_ids=self._eos_ids | tokenizer.control_ids, stop=min(self._eos_ids))
        self._names = count()

    def use_student(self, student: ModelRef) -> None:
        """Samples that begin from now on are another LoRA's on the same base; those in flight keep theirs."""
        self._student = student

    def generate(self, jobs: Iterable[Job | None]) -> Iterator[Finished]:
        server = self._server(self._student)
        server.order(self._order)
        requests: Requests = (PairedRequests if server.paired else NestedRequests)(server, self._eos_ids)
        try:
            yield from self._generate(jobs, server, requests)
        except EngineError:
            server.close()
            raise
        finally:
            if not server.closed:
                requests.abort()
                server.rest()

    def _generate(self, jobs: Iterable[Job | None], server: Running, requests: Requests) -> Iterator[Finished]:
        waiting = (None if job is None else Sequence.start(job, self._sampling.seed, self._sampling.max_tokens,
                                                           self._context, self._stops) for job in jobs)
        roomless: list[Sequence] = []
        arrivals = Arrivals(with_room(waiting, roomless))
        live: dict[str, tuple[Sequence, Adapter | None]] = {}
        ended: dict[str, tuple[Sequence, FinishReason | None]] = {}
        idle = 0
        while True:
            while len(live) < self._count and (sequence := arrivals.take()) is not None:
                name = str(next(self._names))
                adapter = server.adapter(self._student, {held[1] for _, held in live.values() if held is not None})
                requests.add(name, sequence, adapter)
                live[name] = sequence, adapter
            while roomless:
                yield roomless.pop().fail(no_room(self._context))
            yield from self._finished(requests, ended)
            ended = {}
            if not live:
                if arrivals.dry:
                    return
                continue
            grown = requests.step()
            idle = 0 if grown else idle + 1
            if idle > _PATIENCE + self._context:
                raise EngineError(f"vLLM makes no progress with {len(live)} samples",
                                  "raise engine.vllm.kv_cache_gib or lower engine.batch_size")
            for one in grown:
                reason = _read(live[one.name][0], one, self._eos_ids)
                if reason is not None or one.ended or not live[one.name][0].wanted:
                    ended[one.name] = live.pop(one.name)[0], reason

    def _finished(self, requests: Requests,
                  ended: dict[str, tuple[Sequence, FinishReason | None]]) -> Iterator[Finished]:
        """After new samples took their places, so that the engine does not wait for this."""
        if not ended:
            return
        told = requests.collect(list(ended))
        for name, (sequence, reason) in ended.items():
            yield self._end(sequence, reason, told[name][: len(sequence.tokens)])

    def _end(self, sequence: Sequence, reason: FinishReason | None, told: np.ndarray) -> Finished:
        """A row of a failed model was ended with a token that nobody drew."""
        if not sequence.wanted:
            return sequence.fail(UNWANTED)
        if len(told) < len(sequence.tokens):
            raise EngineError(f"{sequence.job.sample_id} has {len(sequence.tokens)} tokens and {len(told)} were drawn",
                              "report this bug")
        if len(told) and failed(told[-1]):
            sequence.tokens.pop()
            return sequence.fail(failure_of(told[-1], len(sequence.tokens)))
        if reason is None:
            raise EngineError(f"vLLM ended {sequence.job.sample_id} early", "report this bug")
        if told.shape[1] > DIAGNOSTICS:
            sequence.rows = list(told[:, DIAGNOSTICS:])
        return sequence.finish(reason, text_of(sequence, reason, self._tokenizer))


def _read(sequence: Sequence, grown: Grown, eos_ids: frozenset[int]) -> FinishReason | None:
    """Why the sample ends with one of the new tokens; those after it are left out."""
    for token in grown.tokens:
        sequence.append(token, None)
        if (reason := sequence.reason(eos_ids)) is not None:
            return reason
        sequence.tell()
        if not sequence.wanted:
            return None
    return None
