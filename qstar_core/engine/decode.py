"""q* with two transformers models in lockstep: both read their own prompt, then every token is mixed, drawn, and fed
back to both.

Each slot carries one sample at its own position. With `deterministic` every forward has the same shape whatever the
load, so a sample comes out bit for bit the same alone, in a crowd, or after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_core.config import AlphaSettings, EngineSettings, SamplingSettings, SupportSettings
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.pair import pair_runner
from qstar_core.engine.protocol import Finished, Job
from qstar_core.engine.scheduler import Scheduler
from qstar_core.engine.sequence import Sequence
from qstar_core.engine.tokenizer import ChatTokenizer, shared_columns
from qstar_core.errors import EngineError
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer, Step
from qstar_core.mixture.policies.chain import policies_of
from qstar_core.mixture.support import SupportCut
from qstar_core.records import FinishReason

_SMALL = 5_000_000
_ALL_THREADS = torch.get_num_threads()


@dataclass(slots=True)
class _Prefilled:
    """The last prompt that was read, and the slot that still holds it."""

    prompt_id: str
    slot: int
    logits_theta_V: Tensor
    logits_t_V: Tensor


class LockstepEngine:
    def __init__(self, student: LoadedModel, teacher: LoadedModel, tokenizer: ChatTokenizer, context: int,
                 alpha: AlphaSettings, sampling: SamplingSettings, support: SupportSettings,
                 engine: EngineSettings) -> None:
        torch.set_num_threads(engine.threads or _threads_for(student, teacher))
        vocab = shared_columns(tokenizer, student, teacher)
        self._vocab = vocab
        self._device = student.device
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._context = context
        self._slots = engine.batch_size
        self._eos_ids = student.eos_ids | teacher.eos_ids
        self._models = pair_runner(student, teacher, self._slots, context, vocab, engine.deterministic,
                                   engine.share_forward)
        options = AlphaOptions(alpha.method, alpha.fixed, alpha.min, alpha.max, alpha.tolerance)
        self._mixer = Mixer(
            options, sampling.temperature, engine.diagnostics, sharpen=sampling.sharpen, support=SupportCut(support),
            policies=policies_of(alpha, self._eos_ids | tokenizer.control_ids),
        )

    def generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        try:
            yield from self._generate(jobs)
        except (MemoryError, RuntimeError) as error:  # torch says both "out of memory" and "can't allocate memory"
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            raise EngineError(f"no memory for engine.batch_size = {self._slots} in a context of {self._context} tokens",
                              "lower engine.batch_size or engine.context") from error

    def _generate(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        run = _Run(self._slots, self._vocab, self._device)
        waiting = (Sequence.start(job, self._sampling.seed, self._sampling.max_tokens, self._context) for job in jobs)
        roomless: list[Sequence] = []
        scheduler = Scheduler(_with_room(waiting, roomless), self._slots)
        while True:
            for slot, sequence in scheduler.admit():
                self._read_prompt(run, slot, sequence)
            while roomless:
                yield roomless.pop().fail(f"the prompt fills the context of {self._context} tokens")
            if not any(True for _ in scheduler.seated()):
                return
            step = self._mixer.step(run.logits_theta_B_V, run.logits_t_B_V, run.key_B, run.drawn_B)
            yield from self._commit(run, scheduler, step)
            self._advance(run, step.token_B, scheduler)

    def _read_prompt(self, run: _Run, slot: int, sequence: Sequence) -> None:
        pair = sequence.job.pair
        last = run.prefilled
        if last is not None and last.prompt_id == pair.prompt_id:
            self._models.copy_prompt(last.slot, slot, pair)
        else:
            last = _Prefilled(pair.prompt_id, slot, *self._models.prefill(slot, pair))
            run.prefilled = last
        run.logits_theta_B_V[slot] = last.logits_theta_V
        run.logits_t_B_V[slot] = last.logits_t_V
        run.key_B[slot] = sequence.key
        run.drawn_B[slot] = 0
        run.length_theta_B[slot] = len(pair.student_ids)
        run.length_t_B[slot] = len(pair.teacher_ids)

    def _commit(self, run: _Run, scheduler: Scheduler, step: Step) -> Iterator[Finished]:
        """Give every seated sample its token; yield those that end with it."""
        tokens = step.token_B.tolist()
        failures = torch.stack([step.failed_theta_B, step.failed_t_B, step.disjoint_B], dim=1).tolist()
        rows = step.diagnostics.stacked().cpu().numpy() if step.diagnostics else None
        for slot, sequence in list(scheduler.seated()):
            if any(failures[slot]):
                scheduler.release(slot)
                yield sequence.fail(_failure(failures[slot], len(sequence.tokens)))
                continue
            sequence.append(tokens[slot], None if rows is None else rows[slot])
            reason = sequence.reason(self._eos_ids)
            if reason is not None:
                scheduler.release(slot)
                yield sequence.finish(reason, self._text(sequence, reason))

    def _advance(self, run: _Run, token_B: Tensor, scheduler: Scheduler) -> None:
        seats = [seat is not None for seat in scheduler.seats]
        if not any(seats):
            return
        occupied_B = torch.tensor(seats, device=self._device)
        run.logits_theta_B_V, run.logits_t_B_V = self._models.decode(token_B, run.length_theta_B, run.length_t_B,
                                                                     occupied_B)
        run.drawn_B += 1
        run.length_theta_B += 1
        run.length_t_B += 1

    def _text(self, sequence: Sequence, reason: FinishReason) -> str:
        ids = sequence.tokens[:-1] if reason is FinishReason.STOP else sequence.tokens
        pair = sequence.job.pair
        return self._tokenizer.decode_after(pair.student_ids, ids) if pair.reply_prefix else self._tokenizer.decode(ids)


class _Run:
    """The state of all slots during one call of `generate`."""

    def __init__(self, slots: int, vocab: int, device: torch.device) -> None:
        self.logits_theta_B_V = torch.zeros(slots, vocab, device=device)
        self.logits_t_B_V = torch.zeros(slots, vocab, device=device)
        self.key_B = torch.zeros(slots, dtype=torch.long, device=device)
        self.drawn_B = torch.zeros(slots, dtype=torch.long, device=device)
        self.length_theta_B = torch.zeros(slots, dtype=torch.long, device=device)
        self.length_t_B = torch.zeros(slots, dtype=torch.long, device=device)
        self.prefilled: _Prefilled | None = None


def _threads_for(*models: LoadedModel) -> int:
    """Two threads meet so often over small matrices that they are slower than one."""
    largest = max(sum(weight.numel() for weight in model.network.parameters()) for model in models)
    return 1 if largest < _SMALL else _ALL_THREADS


def _with_room(waiting: Iterator[Sequence], roomless: list[Sequence]) -> Iterator[Sequence]:
    """Set aside the samples whose prompt leaves no room for a single token."""
    for sequence in waiting:
        if sequence.limit < 1:
            roomless.append(sequence)
        else:
            yield sequence


def _failure(flags: list[bool], position: int) -> str:
    theta, t, _ = flags
    if theta or t:
        who = " and ".join(name for name, bad in (("the student's", theta), ("the teacher's", t)) if bad)
        return f"{who} logits are not a distribution (NaN, +inf or empty) at token {position}"
    return f"student and teacher have no token in common at token {position}"
