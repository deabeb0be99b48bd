"""A checkpoint's tokenizer and chat template, and whether two of them mean the same by every id."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError
from transformers import AutoTokenizer

from qstar_core.engine.hf import COMPLETE, first_line
from qstar_core.errors import ModelError, RowError
from qstar_core.records import Message, Role


class ChatTokenizer:
    """A checkpoint's tokenizer and chat template."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"no usable tokenizer in {path}: {first_line(error)}", COMPLETE) from None
        if not self._tokenizer.chat_template:
            raise ModelError(f"{name} has no chat template", "use an instruction-tuned checkpoint")
        self.control_tokens = frozenset(self._tokenizer.all_special_tokens) | {
            token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special
        }

    def render(self, messages: tuple[Message, ...], reply: str = "") -> tuple[str, tuple[int, ...]]:
        """The text that opens the assistant's turn, with the beginning of the reply, and its token ids. The template
        writes what begins a text, such as BOS; the tokenizer adds nothing. RowError where it refuses the turns."""
        turns = [message.model_dump(mode="json") for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + reply
        except TemplateError as error:
            raise RowError(f"the chat template of {self.name} refuses the conversation: {first_line(error)}") from None
        return text, self.encode(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text that is rendered already; control tokens in it are read as such."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def read(self, ids: list[int] | tuple[int, ...]) -> str:
        """The text as it stands, without control tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def system_role(self) -> bool:
        """Whether the chat template renders a system message."""
        mark = "qstar system probe"
        probe = (Message(role=Role.SYSTEM, content=mark), Message(role=Role.USER, content="x"))
        try:
            return mark in self.render(probe)[0]
        except RowError:
            return False

    def decode_after(self, before: tuple[int, ...], ids: list[int]) -> str:
        """What the ids add to the text of those before them, with the blanks between the two."""
        whole, shown = (str(self._tokenizer.decode(part, skip_special_tokens=True))
                        for part in ([*before, *ids], list(before)))
        return whole[len(shown):].rstrip()

    def decode(self, ids: list[int] | tuple[int, ...]) -> str:
        return self.read(ids).strip()

    def pieces(self, ids: list[int] | tuple[int, ...]) -> tuple[str, ...]:
        """What every token adds to the text, control tokens included; joined they are the whole text. A character of
        several tokens comes with its last one."""
        pieces: list[str] = []
        shown = ""
        for end in range(1, len(ids) + 1):
            text = str(self._tokenizer.decode(list(ids[:end])))
            whole = text if end == len(ids) else text.rstrip("\ufffd")
            pieces.append(whole[len(shown):])
            shown = whole if len(whole) > len(shown) else shown
        return tuple(pieces)

    @property
    def vocabulary(self) -> dict[str, int]:
        found: dict[str, int] = self._tokenizer.get_vocab()
        return found

    @property
    def control_ids(self) -> frozenset[int]:
        vocabulary = self.vocabulary
        return frozenset(vocabulary[token] for token in self.control_tokens if token in vocabulary)

    @property
    def unknown_id(self) -> int | None:
        found: int | None = self._tokenizer.unk_token_id
        return found


def check_same_vocabulary(student: ChatTokenizer, teacher: ChatTokenizer) -> None:
    """Distributions are mixed token by token, so every id must mean the same for both."""
    ours, theirs = student.vocabulary, teacher.vocabulary
    if ours == theirs:
        return
    odd = next(token for token in sorted(ours.keys() | theirs.keys()) if ours.get(token) != theirs.get(token))
    raise ModelError(
        f"{student.name} and {teacher.name} do not share a vocabulary: "
        f"{odd!r} is id {ours.get(odd)} for one and {theirs.get(odd)} for the other",
        "q* mixes token by token; take student and teacher of one tokenizer family",
    )


class Speaker(Protocol):
    """A model, as far as its vocabulary goes."""

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> int: ...


def shared_columns(tokenizer: ChatTokenizer, *models: Speaker) -> int:
    """The ids that mean something: padded columns beyond the tokenizer are cut off both models."""
    needed = max(tokenizer.vocabulary.values()) + 1
    for model in models:
        if model.columns < needed:
            raise ModelError(f"{model.name} has {model.columns} logits, its tokenizer {needed} ids",
                             "give the tokenizer that belongs to the checkpoint")
    return needed
