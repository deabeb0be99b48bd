"""A language model behind any OpenAI-compatible endpoint, asked as a judge.

What it answered is kept on disk by the hash of everything that was asked, so nothing is asked twice; the caller says
which replies are worth keeping. An endpoint that cannot be reached is an error, never an answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qstar_core.errors import ConfigError, UnavailableError
from qstar_core.records import content_hash

Turns = list[dict[str, str]]


@dataclass(frozen=True)
class Endpoint:
    """`settings` is where a user finds its settings; `cache` may be nowhere."""

    base_url: str
    model: str
    settings: str
    retries: int = 4
    timeout: float = 60
    max_tokens: int = 512
    api_key_env: str = "OPENAI_API_KEY"
    cache: Path | None = None

    def ask(self, turns: Turns, worth_keeping: Callable[[str], bool]) -> str:
        kept = self._kept(turns)
        if kept is not None and kept.is_file():
            return kept.read_text(encoding="utf-8")
        reply = self._ask(turns)
        if kept is not None and worth_keeping(reply):
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}.part")
            part.write_text(reply, encoding="utf-8", errors="replace")
            part.replace(kept)
        return reply

    def _kept(self, turns: Turns) -> Path | None:
        if self.cache is None:
            return None
        key = content_hash([self.base_url, self.model, self.max_tokens, turns])
        return self.cache / "judge" / key[:2] / f"{key}.txt"

    def _ask(self, turns: Turns) -> str:
        from openai import APIConnectionError, APIStatusError, InternalServerError, OpenAIError, RateLimitError

        try:
            made = self._client.chat.completions.create(model=self.model, messages=turns, temperature=0,
                                                        max_tokens=self.max_tokens)
        except (APIConnectionError, InternalServerError, RateLimitError) as error:
            raise UnavailableError(f"the judge at {self.base_url} does not answer: {error}",
                                   f"check {self.settings}; what it answered so far is kept") from None
        except APIStatusError as error:
            raise ConfigError(f"the judge at {self.base_url} refused: {error}",
                              f"check base_url, model and api_key_env of {self.settings}") from None
        except OpenAIError as error:
            raise UnavailableError(f"the judge at {self.base_url} failed: {error}",
                                   f"check {self.settings}; what it answered so far is kept") from None
        return (made.choices[0].message.content or "") if made.choices else ""

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI

        return OpenAI(base_url=self.base_url, api_key=os.environ.get(self.api_key_env) or "none",
                      max_retries=self.retries, timeout=self.timeout)


def marked(system: str, parts: Sequence[tuple[str, str]]) -> Turns:
    """The system prompt, and named texts between marks that whoever wrote the texts cannot guess."""
    mark = content_hash(parts)[:12]
    told = "\n\n".join(f"<{name} {mark}>\n{text}\n</{name} {mark}>" for name, text in parts)
    told = told.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
    return [{"role": "system", "content": system}, {"role": "user", "content": told}]
