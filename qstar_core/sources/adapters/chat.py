"""Schemas whose prompt is a conversation: verl, preference pairs, `messages`, ShareGPT. The reply that the dataset has
(or prefers) is the prompt's solution; none of them has a gold answer but verl, and rows with an answer column.
"""

from __future__ import annotations

import json
from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import RowError
from qstar_core.records import Message, Prompt, Role
from qstar_core.sources.adapters.base import NOTHING, Adapter, answer, asked, prompt, words
from qstar_core.sources.columns import Columns, as_text, plain
from qstar_core.sources.conversations import conversation, is_conversation, marked_pair, without_opening_replies
from qstar_core.sources.golds import mathematical


def _rests_on_verl(columns: Columns) -> frozenset[str]:
    fits = is_conversation(columns.get("prompt")) and isinstance(columns.get("reward_model"), dict)
    return words("prompt reward_model") if fits else NOTHING


def _verl(columns: Columns, settings: SourceSettings) -> Prompt:
    """The ground truth is the gold answer; of code it is tests: Python, or an object of inputs and outputs."""
    messages, _ = conversation(columns.get("prompt"), "prompt")
    truth, extra = columns.mapping("reward_model").get("ground_truth"), columns.mapping("extra_info")
    ability = columns.text("ability") or "question"
    meta = columns.kept(["data_source", "ability"])
    worked = as_text(extra.get("answer") or extra.get("solution"))
    if ability.lower() in ("code", "coding"):
        return prompt(columns, settings, messages, kind="code", answer=_tests(truth), solution=worked, meta=meta)
    return prompt(columns, settings, messages, kind=ability, answer=mathematical(truth), meta=meta,
                  solution=worked if worked != as_text(truth) else None)


def _tests(truth: Any) -> str | None:
    if isinstance(truth, list) and all(isinstance(test, str) for test in truth):
        return "\n".join(truth) or None
    return json.dumps(plain(truth)) if isinstance(truth, dict) else as_text(truth)


def _rests_on_preference(columns: Columns) -> frozenset[str]:
    chosen, rejected = columns.get("chosen"), columns.get("rejected")
    both = (isinstance(chosen, str) and isinstance(rejected, str)) or (
        is_conversation(chosen) and is_conversation(rejected))
    return words("chosen rejected") if both else NOTHING


def _preference(columns: Columns, settings: SourceSettings) -> Prompt:
    chosen, rejected = columns.get("chosen"), columns.get("rejected")
    meta = columns.kept(["score_chosen", "score_rejected", "source"])
    if is_conversation(chosen):
        messages, reply = conversation(chosen, "chosen")
    elif not isinstance(chosen, str) or not isinstance(rejected, str):
        raise RowError("the chosen or the rejected reply is missing")
    elif (text := columns.text("prompt", "question", "instruction", "input")) is not None:
        messages, reply = asked(text, columns.text("system", "system_prompt")), chosen.strip() or None
    else:
        messages, reply = marked_pair(chosen, rejected)
    return prompt(columns, settings, messages, kind="chat", solution=reply, meta=meta)


def _rests_on_messages(columns: Columns) -> frozenset[str]:
    for name in ("messages", "prompt"):
        if is_conversation(columns.get(name)):
            return frozenset({name})
    return NOTHING


def _messages(columns: Columns, settings: SourceSettings) -> Prompt:
    """The OpenAI form; also a `prompt` that is a list of messages, with the reply in `completion`."""
    usual = "prompt" if is_conversation(columns.get("prompt")) and "messages" not in columns else "messages"
    column = (settings.prompt_field or usual).lower()
    turns: Any = columns.get(column)
    completion = columns.get("completion") if column == "prompt" else None
    if is_conversation(turns) and is_conversation(completion):
        turns = [*turns, *columns.items("completion")]
    messages, reply = conversation(turns, column)
    return prompt(columns, settings, messages, kind="chat", answer=answer(columns, settings, "answer"), solution=reply,
                  meta=columns.kept(["source"]))


def _rests_on_sharegpt(columns: Columns) -> frozenset[str]:
    for name in ("conversations", "conversation"):
        if is_conversation(columns.get(name)):
            return frozenset({name})
    return NOTHING


def _sharegpt(columns: Columns, settings: SourceSettings) -> Prompt:
    usual = "conversation" if "conversation" in columns and "conversations" not in columns else "conversations"
    column = (settings.prompt_field or usual).lower()
    messages, reply = conversation(columns.get(column), column)
    messages = without_opening_replies(messages)
    system = columns.text("system", "system_prompt")
    if system is not None and messages[0].role is not Role.SYSTEM:
        messages = (Message(role=Role.SYSTEM, content=system), *messages)
    return prompt(columns, settings, messages, kind="chat", answer=answer(columns, settings, "answer"), solution=reply)


VERL = Adapter("verl", _rests_on_verl, words(
    "data_source prompt ability reward_model extra_info question answer"), _verl)
PREFERENCE = Adapter("preference", _rests_on_preference, words(
    "prompt question instruction input system system_prompt chosen rejected messages score_chosen score_rejected text"),
    _preference)
MESSAGES = Adapter("messages", _rests_on_messages, words(
    "messages prompt prompt_id completion question answer text id source"), _messages)
SHAREGPT = Adapter("sharegpt", _rests_on_sharegpt, words(
    "conversations conversation system system_prompt id text source"), _sharegpt)
