"""The rows that each trainer takes, as JSON schemas written from its own documentation and loader."""

from __future__ import annotations

from typing import Any

from qstar_core.exports.kinds import Kind

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}


def exactly(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def turn(*roles: str) -> Schema:
    return exactly(role={"enum": list(roles)}, content=TEXT)


def turns(*roles: str, last: str) -> Schema:
    return {"type": "array", "minItems": 1, "items": turn(*roles, last), "contains": turn(last)}


PROMPT = turns("system", "user", "assistant", "tool", last="user")
CONVERSATION = turns("system", "user", "tool", last="assistant")
ANSWER: Schema = {"type": "array", "items": turn("assistant"), "minItems": 1, "maxItems": 1}
LABEL: Schema = {"type": "boolean"}


def _spoken(*speakers: str) -> Schema:
    return exactly(**{"from": {"enum": list(speakers)}, "value": TEXT})


SCHEMAS: dict[tuple[str, Kind], Schema] = {
    ("trl-sft", Kind.CONVERSATIONS): exactly(prompt=PROMPT, completion=ANSWER),
    ("trl-sft", Kind.TOKENS): exactly(input_ids={"type": "array", "items": {"type": "integer"}, "minItems": 2},
                                      labels={"type": "array", "items": {"type": "integer"}, "minItems": 2}),
    ("trl-dpo", Kind.PAIRS): exactly(prompt=PROMPT, chosen=ANSWER, rejected=ANSWER),
    ("trl-kto", Kind.LABELLED): exactly(prompt=PROMPT, completion=ANSWER, label=LABEL),
    ("trl-grpo", Kind.QUESTIONS): exactly(prompt=PROMPT, solution=TEXT),
    ("llama-factory", Kind.CONVERSATIONS): exactly(messages=CONVERSATION),
    ("llama-factory", Kind.PAIRS): exactly(
        conversations={"type": "array", "minItems": 1, "items": _spoken("system", "human", "gpt", "observation")},
        chosen=_spoken("gpt"), rejected=_spoken("gpt")),
    ("llama-factory", Kind.LABELLED): exactly(messages=CONVERSATION, label=LABEL),
    ("axolotl", Kind.CONVERSATIONS): exactly(messages={
        "type": "array", "minItems": 2,
        "items": exactly(role={"enum": ["system", "user", "assistant", "tool"]}, content=TEXT, training=LABEL),
        "contains": exactly(role={"const": "assistant"}, content=TEXT, training={"const": True}), "maxContains": 1}),
    ("axolotl", Kind.PAIRS): exactly(messages=PROMPT, chosen=turn("assistant"), rejected=turn("assistant")),
    ("ms-swift", Kind.CONVERSATIONS): exactly(messages=CONVERSATION),
    ("ms-swift", Kind.PAIRS): exactly(messages=CONVERSATION, rejected_response=TEXT),
    ("ms-swift", Kind.LABELLED): exactly(messages=CONVERSATION, label=LABEL),
    ("ms-swift", Kind.QUESTIONS): exactly(messages=PROMPT, solution=TEXT),
    ("openrlhf", Kind.CONVERSATIONS): exactly(prompt=PROMPT, completion=ANSWER),
    ("openrlhf", Kind.PAIRS): exactly(prompt=PROMPT, chosen=ANSWER, rejected=ANSWER),
    ("openrlhf", Kind.QUESTIONS): exactly(prompt=PROMPT, label=TEXT),
    ("verl", Kind.CONVERSATIONS): exactly(messages=CONVERSATION),
    ("verl", Kind.QUESTIONS): exactly(
        data_source=TEXT, prompt=PROMPT, ability=TEXT, reward_model=exactly(style={"const": "rule"}, ground_truth=TEXT),
        extra_info=exactly(split={"enum": ["train", "validation"]}, index={"type": "integer", "minimum": 0},
                           prompt_id=TEXT, pass_rate={"type": "number", "minimum": 0, "maximum": 1})),
}
