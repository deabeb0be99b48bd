"""Stop strings: a sample ends with the token that completes one of them, and its text ends before it.

Only the completion is looked at, never the prompt, and control tokens are not text. A stop string that is itself a
control token ends the sample as an end-of-turn token does.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.engine.textstream import TextStream
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ConfigError


class StopStrings:
    """The stop strings of an engine. `token_ids`: those that are control tokens."""

    def __init__(self, strings: Sequence[str], tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        known = tokenizer.vocabulary if strings else {}
        control = tokenizer.control_tokens & known.keys()
        self.token_ids = frozenset(known[text] for text in strings if text in control)
        self._strings = tuple(text for text in strings if text not in control)
        for text in self._strings:
            if odd := next((token for token in sorted(control) if token and token in text), None):
                raise ConfigError(f"sampling.stop: {text!r} contains the control token {odd}, which is never part of "
                                  "the text", "give the control token alone, or text alone")
        self._silent_ids = tokenizer.control_ids if self._strings else frozenset()

    def watch(self) -> StopWatch | None:
        """For a new sample; None where there is nothing to look for."""
        if not self._strings:
            return None
        return StopWatch(self._strings, TextStream(self._tokenizer.read, self._silent_ids))


class StopWatch:
    """Looks for stop strings in one sample as it grows. `text` is what stands before the first, once there is one."""

    def __init__(self, strings: tuple[str, ...], stream: TextStream) -> None:
        self._strings = strings
        self._overlap = max(map(len, strings)) - 1
        self._stream = stream
        self._pieces: list[str] = []
        self._tail = ""
        self.text: str | None = None

    def read(self, token: int) -> bool:
        """Whether the token completes a stop string."""
        piece = self._stream.push(token)
        if not piece:
            return False
        self._pieces.append(piece)
        recent = self._tail + piece
        found = [at for text in self._strings if (at := recent.find(text)) >= 0]
        if found:
            whole = "".join(self._pieces)
            self.text = whole[: len(whole) - len(recent) + min(found)].strip()
            return True
        self._tail = recent[len(recent) - self._overlap:] if len(recent) > self._overlap else recent
        return False
