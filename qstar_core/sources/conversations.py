"""Conversations in the forms that datasets have → messages, and the reply that follows the last question.

A turn names its speaker as `role` or `from` and its text as `content` or `value`. Text may come in parts. A turn
without text counts only where it can be left out: a system prompt, or the reply itself.
"""

from __future__ import annotations

import re
from typing import Any

from qstar_core.errors import RowError
from qstar_core.records import Message, Role

_ROLES = {
    "system": Role.SYSTEM, "developer": Role.SYSTEM,
    "user": Role.USER, "human": Role.USER,
    "assistant": Role.ASSISTANT, "gpt": Role.ASSISTANT, "chatgpt": Role.ASSISTANT, "model": Role.ASSISTANT,
    "bot": Role.ASSISTANT, "bing": Role.ASSISTANT, "bard": Role.ASSISTANT,
    "tool": Role.TOOL, "function": Role.TOOL, "observation": Role.TOOL, "ipython": Role.TOOL,
}
_MARK = re.compile(r"\n\n(Human|Assistant): ?")
_ASSISTANT = "\n\nAssistant:"


def is_conversation(value: Any) -> bool:
    """A list of turns; empty counts, so that a column is known by its type where its first row is empty."""
    return isinstance(value, list | tuple) and all(isinstance(turn, dict) for turn in value)


def conversation(turns: Any, column: str) -> tuple[tuple[Message, ...], str | None]:
    """Up to the last user message, and the assistant's reply to it, where there is one."""
    if not isinstance(turns, list | tuple) or not turns:
        raise RowError(f"the {column} column is missing or empty")
    said = [_turn(turn) for turn in turns]
    last = max((i for i, (role, _) in enumerate(said) if role is Role.USER), default=None)
    if last is None:
        raise RowError("the conversation has no user message")
    reply = next((text for role, text in said[last + 1:] if role is Role.ASSISTANT), None)
    asked = [(role, text) for role, text in said[: last + 1] if text is not None or role is not Role.SYSTEM]
    if any(text is None for _, text in asked):
        raise RowError("a message has no text")
    return tuple(Message(role=role, content=text or "") for role, text in asked), reply


def without_opening_replies(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Conversations cut out of longer ones may begin with an answer to what is not there."""
    first = next(i for i, message in enumerate(messages) if message.role is Role.USER)
    return (*(m for m in messages[:first] if m.role is Role.SYSTEM), *messages[first:])


def marked_pair(chosen: str, rejected: str) -> tuple[tuple[Message, ...], str | None]:
    """HH-RLHF: two transcripts. What they share up to its last assistant mark is the question; then comes the reply."""
    differ = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
                  min(len(chosen), len(rejected)))
    end = chosen.rfind(_ASSISTANT, 0, differ)
    if end < 0:
        raise RowError("chosen and rejected share no question")
    reply = _MARK.split(chosen[end + len(_ASSISTANT):])[0].strip()
    parts = _MARK.split(f"\n\n{chosen[:end].lstrip()}")
    if parts[0].strip():
        raise RowError("the transcript does not begin with Human: or Assistant:")
    turns = [{"role": "user" if speaker == "Human" else "assistant", "content": text.strip()}
             for speaker, text in zip(parts[1::2], parts[2::2], strict=True)]
    messages, _ = conversation(turns, "chosen")
    return messages, reply or None


def _turn(turn: Any) -> tuple[Role, str | None]:
    if not isinstance(turn, dict):
        raise RowError("a message lacks a known role or a text")
    speaker = turn.get("role", turn.get("from"))
    role = _ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None or not ({"content", "value"} & turn.keys()):
        raise RowError("a message lacks a known role or a text")
    return role, _content(turn["content"] if "content" in turn else turn["value"])


def _content(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise RowError("a message lacks a known role or a text")
    return "\n".join(_part(part) for part in content) or None


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str) and part.get("type", "text") in ("text", None):
        return str(part["text"])
    raise RowError("a message has a part that is no text")
