"""q* with two transformers models: both read their own prompt, then every token is mixed, drawn, and fed back to both,
one at a time or, with speculation, several for one forward of the teacher.

Each slot carries one sample at its own position. With `deterministic` every forward has the same shape whatever the
load, so a sample comes out bit for bit the same alone, in a crowd, or after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.adaptive import Adaptive
from qstar_core.engine.alone import AloneMixer, AloneRunner
from qstar_core.engine.endings import failed, failure_of, no_room, text_of, with_room
from qstar_core.engine.headroom import is_out_of_memory
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.lockstep import Lockstep
from qstar_core.engine.mixing import mixer_of
from qstar_core.engine.pair import PairRunner, TwoModels, pair_runner
from qstar_core.engine.protocol import Finished, Job
from qstar_core.engine.scheduler import Scheduler
from qstar_core.engine.sequence import UNWANTED, Sequence
from qstar_core.engine.slots import Slots
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.statistics import Statistics
from qstar_core.engine.stops import StopStrings
from qstar_core.engine.strategy import DIAGNOSTICS, Drawn, Kept, Strategy
from qstar_core.engine.tokenizer import ChatTokenizer, shared_columns
from qstar_core.errors import ConfigError, NoMemoryError
from qstar_core.mixture.mixer import Mixer
from qstar_core.mixture.support import SupportCut
from qstar_core.mixture.topk import check_top_k
from qstar_core.records import PromptPair

_SMALL = 5_000_000
_ALL_THREADS = torch.get_num_threads()


@dataclass(slots=True)
class _Prefilled:
    """The last prompt that was read, and the slot that still holds it."""

    pair: PromptPair
    slot: int
    logits_theta_V: Tensor
    logits_t_V: Tensor


class TransformersEngine:
    """Without a teacher it samples from the student alone: α settings count for nothing, and nothing is measured."""

    def __init__(self, student: LoadedModel, teacher: LoadedModel | None, tokenizer: ChatTokenizer, context: int,
                 alpha: AlphaSettings, sampling: SamplingSettings, support: SupportSettings,
                 engine: EngineSettings) -> None:
        models = (student,) if teacher is None else (student, teacher)
        torch.set_num_threads(engine.threads or _threads_for(*models))
        vocab = shared_columns(tokenizer, *models)
        check_top_k(engine.top_logprobs, vocab)
        self._vocab = vocab
        self._device = student.device
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._context = context
        self._count = engine.batch_size
        self._fixed_shapes = engine.deterministic
        self._stops = StopStrings(sampling.stop, tokenizer)
        self._eos_ids = self._stops.token_ids.union(*(model.eos_ids for model in models))
        self.statistics = Statistics()
        self._models: PairRunner
        self._strategy: Strategy
        if teacher is None:
            self._models = AloneRunner(student, self._count, context, vocab, engine.deterministic)
            alone = AloneMixer(sampling.temperature, sampling.sharpen, SupportCut(support), engine.compile)
            self._strategy = Lockstep(self._models, alone)
            return
        self._models = pair_runner(student, teacher, self._count, context, vocab, engine.deterministic,
                                   engine.share_forward)
        mixer = mixer_of(alpha, sampling, support, engine, self._eos_ids | tokenizer.control_ids)
        self._strategy = _strategy(self._models, mixer, engine, self._device)

    def generate(self, jobs: Iterable[Job | None]) -> Iterator[Finished]:
        try:
            yield from self._generate(jobs)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise NoMemoryError(
                f"no memory for engine.batch_size = {self._count} in a context of {self._context} tokens",
                "lower engine.batch_size or engine.context") from error

    def _generate(self, jobs: Iterable[Job | None]) -> Iterator[Finished]:
        slots = Slots(self._count, self._vocab, self._device)
        self._models.resize(self._count)
        prompts = _Prompts(self._models)
        waiting = (None if job is None else Sequence.start(job, self._sampling.seed, self._sampling.max_tokens,
                                                           self._context, self._stops) for job in jobs)
        roomless: list[Sequence] = []
        scheduler = Scheduler(with_room(waiting, roomless), self._count)
        while True:
            for slot, sequence in scheduler.admit():
                slots.seat(slot, sequence, *prompts.read(slot, sequence.job.pair))
            while roomless:
                yield roomless.pop().fail(no_room(self._context))
            if not any(True for _ in scheduler.seated()):
                if scheduler.dry:
                    return
                continue
            if not self._fixed_shapes and (rows := scheduler.move_together()):
                self._models.keep(rows)
                slots.keep(rows)
            drawn = self._strategy.draw(slots)
            kept = Kept()
            yield from self._commit(slots, scheduler, drawn, kept)
            self.statistics.add(drawn, kept)
            self._strategy.read(slots, kept)

    def _commit(self, slots: Slots, scheduler: Scheduler, drawn: Drawn, kept: Kept) -> Iterator[Finished]:
        """Give every seated sample the tokens that stand, up to its end; yield those that end."""
        for slot, sequence in list(scheduler.seated()):
            before = len(sequence.tokens)
            finished = self._append(sequence, drawn.told[slot, : drawn.count_B[slot]])
            kept.add(drawn, slot, len(sequence.tokens) - before)
            if finished is None:
                slots.advance(slot, sequence.tokens[before:], bool(drawn.ready_B[slot]))
            else:
                scheduler.release(slot)
                slots.release(slot)
                yield finished

    def _append(self, sequence: Sequence, told_T: np.ndarray) -> Finished | None:
        for row in told_T:
            if failed(row):
                return sequence.fail(failure_of(row, len(sequence.tokens)))
            sequence.append(int(row[0]), row[DIAGNOSTICS:] if len(row) > DIAGNOSTICS else None)
            reason = sequence.reason(self._eos_ids)
            if reason is not None:
                return sequence.finish(reason, text_of(sequence, reason, self._tokenizer))
            sequence.tell()
            if not sequence.wanted:
                return sequence.fail(UNWANTED)
        return None


class _Prompts:
    """Reads prompts into slots. The draws of one prompt come one after the other and share what was read."""

    def __init__(self, models: PairRunner) -> None:
        self._models = models
        self._last: _Prefilled | None = None

    def read(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        last = self._last
        if last is not None and last.pair == pair:
            self._models.copy_prompt(last.slot, slot, pair)
        else:
            last = self._last = _Prefilled(pair, slot, *self._models.prefill(slot, pair))
        return last.logits_theta_V, last.logits_t_V


def _strategy(models: PairRunner, mixer: Mixer, engine: EngineSettings, device: torch.device) -> Strategy:
    """With fixed shapes nothing may depend on what rounds cost, and one forward for both roles cannot wait for drafts:
    then `auto` is lockstep."""
    wanted = engine.speculation
    if isinstance(wanted, int):
        if not isinstance(models, TwoModels):
            raise ConfigError(f"engine.speculation = {wanted} cannot be with both roles in one forward",
                              "set engine.share_forward=false, or engine.speculation=auto")
        return Speculative(models, mixer, wanted, engine.deterministic)
    if wanted == "auto" and not engine.deterministic and isinstance(models, TwoModels):
        return Adaptive(models, mixer, device)
    return Lockstep(models, mixer)


def _threads_for(*models: LoadedModel) -> int:
    """Two threads meet so often over small matrices that they are slower than one."""
    largest = max(sum(weight.numel() for weight in model.network.parameters()) for model in models)
    return 1 if largest < _SMALL else _ALL_THREADS
