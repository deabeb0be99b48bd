"""The body of a request: fields of OpenAI's that q* can honour, and its own under `qstar`. Everything else is refused
by name, before anything runs.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qstar_core.errors import ConfigError
from qstar_core.records import JsonObject

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "repetition_penalty": (1,), "logit_bias": ({},), "top_p": (1,),
    "top_k": (0, -1), "min_p": (0,), "response_format": ({"type": "text"},), "tools": ([],), "tool_choice": ("none",),
    "functions": ([],), "function_call": ("none",), "parallel_tool_calls": (True, False), "logprobs": (False,),
    "top_logprobs": (0,), "prompt_logprobs": (), "echo": (False,), "suffix": ("",), "best_of": (1,),
    "guided_json": (), "guided_regex": (), "guided_choice": (), "guided_grammar": (), "structured_outputs": (),
    "ignore_eos": (False,), "stop_token_ids": ([],), "min_tokens": (0,), "modalities": (["text"],), "audio": (),
    "prediction": (), "reasoning_effort": (), "store": (False,), "use_beam_search": (False,),
}
"""Fields that change what is sampled, and the values that do not. None never does."""
_INSTEAD = {
    "top_p": "q* cuts the models before they are mixed: set qstar.support.top_p",
    "top_k": "q* cuts the models before they are mixed: set qstar.support.top_k",
    "min_p": "q* cuts the models before they are mixed: set qstar.support.min_p",
    "logprobs": "qstar.diagnostics tells log q and both models' log-probabilities of every token",
    "top_logprobs": "qstar.diagnostics tells log q and both models' log-probabilities of every token",
    "best_of": "ask for n samples and choose among them",
}
_IGNORED = {"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"}
"""Fields that say nothing about the sample."""

Text = Annotated[str, Field(max_length=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(_Body):
    type: Literal["text"]
    text: Text


class Turn(_Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[Part]
    name: str | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class QstarOptions(_Body):
    """`alpha`, `support`: values of those sections of the settings, over the server's own."""

    teacher_messages: list[Turn] | None = Field(None, min_length=1)
    teacher_prompt: Text | None = None
    answer: Text | None = None
    solution: Text | None = None
    reference: Text | None = None
    kind: str = "text"
    meta: JsonObject = Field(default_factory=dict)
    alpha: JsonObject = Field(default_factory=dict)
    support: JsonObject = Field(default_factory=dict)
    sharpen: float | None = None
    diagnostics: bool = False


class StreamOptions(_Body):
    include_usage: bool = False


class Common(_Body):
    model: str = "qstar"
    n: int = Field(1, ge=1)
    seed: int | None = Field(None, ge=-(2**62), le=2**62)
    temperature: float | None = None
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    stop: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(None, max_length=16)
    stream: bool = False
    stream_options: StreamOptions | None = None
    qstar: QstarOptions = QstarOptions()

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("n", "stream", "qstar", mode="before")
    @classmethod
    def _null_is_default(cls, value: object, info: Any) -> object:
        return cls.model_fields[info.field_name].default if value is None else value


class ChatBody(Common):
    messages: list[Turn] = Field(min_length=1)


class TextBody(Common):
    prompt: Text | list[Text]


class RefusedError(ConfigError):
    """`field` is what the request has wrong."""

    def __init__(self, problem: str, fix: str = "", field: str | None = None) -> None:
        super().__init__(problem, fix)
        self.args = (problem, fix, field)
        self.field = field


def read_body(raw: bytes, kind: type[ChatBody] | type[TextBody]) -> ChatBody | TextBody:
    try:
        given = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"the body is no JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict):
        raise RefusedError("the body is no JSON object")
    for name, neutral in _NEUTRAL.items():
        value = given.pop(name, None)
        if value is not None and value not in neutral:
            raise RefusedError(f"{name} = {json.dumps(value)[:100]} is not supported",
                               _INSTEAD.get(name, "leave it out"), name)
    for name in _IGNORED:
        given.pop(name, None)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise RefusedError(f"{field} is unknown or not supported here", "leave it out", field) from None
        raise RefusedError(f"{field or 'the body'} is wrong: {first['msg'].lower()}", "", field or None) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
