"""Student and teacher, step by step, each on its own prompt: two models one after the other, or, where both roles have
the same weights, one forward over twice the rows. A student that is an adapter beside the teacher's weights counts as
the same: the adapter acts on the student's rows.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from qstar_core.engine.adapted import AdaptedNetwork
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.runner import ModelRunner
from qstar_core.records import PromptPair


class PairRunner(Protocol):
    def prefill(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        """Read both prompts into the slot; the logits that follow them, [V] each."""
        ...

    def copy_prompt(self, source: int, target: int, pair: PromptPair) -> None:
        """Give another slot the same prompts without reading them again."""
        ...

    def decode(self, token_B: Tensor, length_theta_B: Tensor, length_t_B: Tensor,
               occupied_B: Tensor) -> tuple[Tensor, Tensor]:
        """Append one token to every occupied slot; the logits that follow, [B, V] each."""
        ...

    def resize(self, slots: int) -> None:
        """So many empty slots, whatever was there."""
        ...

    def keep(self, rows: list[int]) -> None:
        """These slots alone, in this order."""
        ...


class SeparateRoles(PairRunner, Protocol):
    """What speculation needs: the roles take turns, and a row goes back to where it was."""

    def student(self, token_B: Tensor, position_B: Tensor, real_B: Tensor) -> Tensor:
        """Append one token to every real row of the student; the logits that follow, [B, V]."""
        ...

    def teacher(self, token_B_T: Tensor, position_B_T: Tensor, real_B_T: Tensor) -> Tensor:
        """Append a block to every row of the teacher; the logits that follow each token, [B, T, V]."""
        ...


class TwoModels:
    def __init__(self, student: LoadedModel, teacher: LoadedModel, slots: int, context: int, vocab: int,
                 fixed_length: bool) -> None:
        self._student = ModelRunner(student, slots, context, vocab, fixed_length)
        self._teacher = ModelRunner(teacher, slots, context, vocab, fixed_length)

    def prefill(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        return self._student.prefill(slot, pair.student_ids), self._teacher.prefill(slot, pair.teacher_ids)

    def copy_prompt(self, source: int, target: int, pair: PromptPair) -> None:
        self._student.copy_prompt(source, target, len(pair.student_ids))
        self._teacher.copy_prompt(source, target, len(pair.teacher_ids))

    def student(self, token_B: Tensor, position_B: Tensor, real_B: Tensor) -> Tensor:
        return self._student.extend(token_B[:, None], position_B[:, None], real_B[:, None])[:, -1]

    def teacher(self, token_B_T: Tensor, position_B_T: Tensor, real_B_T: Tensor) -> Tensor:
        return self._teacher.extend(token_B_T, position_B_T, real_B_T)

    def decode(self, token_B: Tensor, length_theta_B: Tensor, length_t_B: Tensor,
               occupied_B: Tensor) -> tuple[Tensor, Tensor]:
        return (self._student.decode(token_B, length_theta_B, occupied_B),
                self._teacher.decode(token_B, length_t_B, occupied_B))

    def resize(self, slots: int) -> None:
        self._student.resize(slots)
        self._teacher.resize(slots)

    def keep(self, rows: list[int]) -> None:
        self._student.keep(rows)
        self._teacher.keep(rows)


class OneModel:
    """Rows 0 … B−1 are the student's, rows B … 2B−1 the teacher's: every weight is read once for both."""

    def __init__(self, student: LoadedModel, slots: int, context: int, vocab: int, fixed_length: bool) -> None:
        self._slots = slots
        self._adapted: AdaptedNetwork | None = None
        if isinstance(student.network, AdaptedNetwork):
            self._adapted = copy(student.network)  # how many rows it adapts is nobody else's business
            student = replace(student, network=self._adapted)
        self._runner = ModelRunner(student, 2 * slots, context, vocab, fixed_length)

    def prefill(self, slot: int, pair: PromptPair) -> tuple[Tensor, Tensor]:
        self._adapt(1)
        theta = self._runner.prefill(slot, pair.student_ids)
        self._adapt(0)
        return theta, self._runner.prefill(self._slots + slot, pair.teacher_ids)

    def copy_prompt(self, source: int, target: int, pair: PromptPair) -> None:
        self._runner.copy_prompt(source, target, len(pair.student_ids))
        self._runner.copy_prompt(self._slots + source, self._slots + target, len(pair.teacher_ids))

    def decode(self, token_B: Tensor, length_theta_B: Tensor, length_t_B: Tensor,
               occupied_B: Tensor) -> tuple[Tensor, Tensor]:
        self._adapt(self._slots)
        logits = self._runner.decode(token_B.repeat(2), torch.cat([length_theta_B, length_t_B]), occupied_B.repeat(2))
        return logits[: self._slots], logits[self._slots :]

    def resize(self, slots: int) -> None:
        self._slots = slots
        self._runner.resize(2 * slots)

    def keep(self, rows: list[int]) -> None:
        self._runner.keep([*rows, *(self._slots + row for row in rows)])
        self._slots = len(rows)

    def _adapt(self, rows: int) -> None:
        """How many leading rows of the next forward are the student's."""
        if self._adapted is not None:
            self._adapted.adapted_rows = rows


def pair_runner(student: LoadedModel, teacher: LoadedModel, slots: int, context: int, vocab: int, fixed_length: bool,
                share_forward: bool) -> PairRunner:
    """One model where both roles have the same weights loaded and `share_forward` allows it."""
    if share_forward and teacher.network in (student.network, getattr(student.network, "base", None)):
        return OneModel(student, slots, context, vocab, fixed_length)
    return TwoModels(student, teacher, slots, context, vocab, fixed_length)
