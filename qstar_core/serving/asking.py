"""A request's body → the prompt pairs and the mixing that it asks for. Everything that can be refused is refused here.

Prompts are rendered as a round would render them, so that the same prompt, draw and seed give the same tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

from pydantic import ValidationError

from qstar_core.api import Mixture
from qstar_core.config import PromptSettings, Section
from qstar_core.engine.stops import StopStrings
from qstar_core.errors import QstarError, RowError
from qstar_core.operations import ServeSettings
from qstar_core.prompts import PromptRenderer
from qstar_core.records import Message, Prompt, PromptPair, Role
from qstar_core.serving.line import Mixing
from qstar_core.serving.options import ChatBody, QstarOptions, RefusedError, TextBody, Turn
from qstar_core.stages.planning import check_sampling, renderer_for

SectionT = TypeVar("SectionT", bound=Section)
_PLAIN = PromptSettings(student="{{ question }}", teacher="{{ question }}")
_CHAT_ONLY = ("teacher_messages", "answer", "solution", "reference", "meta")


@dataclass(frozen=True, slots=True)
class Asked:
    """`draws` samples of every pair."""

    pairs: tuple[PromptPair, ...]
    draws: int
    seed: int
    max_tokens: int
    mixing: Mixing
    stream: bool
    include_usage: bool
    diagnostics: bool

    @property
    def choices(self) -> int:
        return len(self.pairs) * self.draws


class Asking:
    """Not for several threads at once: tokenizers are not."""

    def __init__(self, mixture: Mixture, settings: ServeSettings) -> None:
        self.mixture = mixture
        self._settings = settings
        self._base = mixture.settings
        plain = self._base.model_copy(update={"prompts": _PLAIN})
        self._plain: PromptRenderer = renderer_for(plain, mixture.models)[0]
        self._check_stop = lru_cache(maxsize=256)(lambda stop: StopStrings(stop, mixture.tokenizer))

    @cached_property
    def control_ids(self) -> frozenset[int]:
        return self.mixture.tokenizer.control_ids

    def read(self, body: ChatBody | TextBody) -> Asked:
        if body.model != self._settings.name:
            raise RefusedError(f"there is no model {body.model[:100]!r} here", f"use {self._settings.name}", "model")
        if body.qstar.diagnostics and not self._base.engine.diagnostics:
            raise RefusedError("qstar.diagnostics was asked for, and engine.diagnostics is false on this server",
                               "leave it out", "qstar.diagnostics")
        try:
            pairs = self._of_chat(body) if isinstance(body, ChatBody) else self._of_texts(body)
            mixing = self._mixing(body)
        except RefusedError:
            raise
        except QstarError as error:
            raise RefusedError(error.problem, error.fix) from error
        seed = secrets.randbelow(2**62) if body.seed is None else body.seed
        limit = body.max_completion_tokens or body.max_tokens or self._base.sampling.max_tokens
        asked = Asked(pairs, body.n, seed, limit, mixing, body.stream,
                      body.stream_options is not None and body.stream_options.include_usage, body.qstar.diagnostics)
        if asked.choices > self._settings.max_choices:
            raise RefusedError(f"{asked.choices} samples are asked for, and serve.max_choices is "
                               f"{self._settings.max_choices}", "ask for fewer", "n")
        return asked

    @cached_property
    def usual(self) -> Mixing:
        """The server's own settings."""
        sampling = self._base.sampling.model_copy(update={"seed": 0, "max_tokens": 1, "draws": 1})
        return Mixing(alpha=self._base.alpha, sampling=sampling, support=self._base.support)

    def _mixing(self, body: ChatBody | TextBody) -> Mixing:
        """The usual one, with what the request says instead."""
        sampling = {"temperature": body.temperature, "stop": body.stop, "sharpen": body.qstar.sharpen}
        mixing = Mixing(
            alpha=_over("qstar.alpha", self.usual.alpha, body.qstar.alpha),
            sampling=_over("", self.usual.sampling, {name: value for name, value in sampling.items()
                                                     if value is not None}),
            support=_over("qstar.support", self.usual.support, body.qstar.support))
        self._check_stop(mixing.sampling.stop)
        check_sampling(self._base.model_copy(update={"alpha": mixing.alpha}))
        return mixing

    def _of_chat(self, body: ChatBody) -> tuple[PromptPair, ...]:
        messages = _messages("messages", body.messages)
        told = body.qstar
        if told.teacher_messages is not None and told.teacher_prompt is not None:
            raise RefusedError("qstar.teacher_messages and qstar.teacher_prompt are both given", "give one of them",
                               "qstar.teacher_prompt")
        if told.teacher_messages is None and told.teacher_prompt is None:
            return (self._rendered("messages", self.mixture.render, _prompt(messages, told)),)
        if given := [name for name in _CHAT_ONLY[1:] if getattr(told, name)]:
            raise RefusedError(f"qstar.{given[0]} goes into the server's own template of the teacher's prompt",
                               "leave it out, or the teacher's own prompt", f"qstar.{given[0]}")
        if told.teacher_messages is not None:
            theirs = _messages("qstar.teacher_messages", told.teacher_messages)
        else:
            theirs = (*messages[:-1], Message(role=Role.USER, content=told.teacher_prompt or ""))
        ours = self._rendered("messages", self._plain.render, Prompt.of(messages))
        other = self._rendered("qstar.teacher_messages", self._plain.render, Prompt.of(theirs))
        return (self.mixture.pair(ours.student_text, other.teacher_text),)

    def _of_texts(self, body: TextBody) -> tuple[PromptPair, ...]:
        """Texts as they are, control tokens included: what a text completion is."""
        if given := [name for name in _CHAT_ONLY if getattr(body.qstar, name)]:
            raise RefusedError(f"qstar.{given[0]} is for chat completions",
                               "give the whole text in qstar.teacher_prompt", f"qstar.{given[0]}")
        texts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        if not texts:
            raise RefusedError("prompt is empty", "give a text", "prompt")
        theirs = body.qstar.teacher_prompt
        pairs = tuple(self.mixture.pair(text, text if theirs is None else theirs) for text in texts)
        for pair in pairs:
            for field, ids in (("prompt", pair.student_ids), ("qstar.teacher_prompt", pair.teacher_ids)):
                if not 0 < len(ids) < self.mixture.context:
                    raise RefusedError(f"{field} has {len(ids)} tokens, and the context is {self.mixture.context}",
                                       "give at least one, and leave room for one more", field)
        return pairs

    @staticmethod
    def _rendered(field: str, render: Callable[[Prompt], PromptPair], prompt: Prompt) -> PromptPair:
        try:
            return render(prompt)
        except RowError as fault:
            raise RefusedError(f"{field} cannot be used: {fault}", "", field) from None


def _messages(field: str, turns: list[Turn]) -> tuple[Message, ...]:
    if turns[-1].role != "user":
        raise RefusedError(f"the last of {field} is not the user's", "end with a user message", field)
    return tuple(Message(role=Role.SYSTEM if turn.role == "developer" else Role(turn.role), content=turn.text)
                 for turn in turns)


def _prompt(messages: tuple[Message, ...], told: QstarOptions) -> Prompt:
    reference = {} if told.reference is None else {"reference": told.reference}
    return Prompt.of(messages, answer=told.answer, solution=told.solution, kind=told.kind,
                     meta={**told.meta, **reference})


def _over(field: str, base: SectionT, given: dict[str, object]) -> SectionT:
    try:
        return type(base).model_validate({**base.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(part for part in (field, *map(str, first["loc"])) if part)
        raise RefusedError(f"{name} is wrong: {first['msg'].lower()}", "", name or None) from None
