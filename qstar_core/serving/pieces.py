"""A sample's text as it grows. Joined, the pieces and the rest are the completion: what may still be cut away, blanks
at the end and what may be the beginning of a stop string, is held back.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.engine.textstream import TextStream
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.records import PromptPair


class Pieces:
    def __init__(self, tokenizer: ChatTokenizer, silent_ids: frozenset[int], stop: Sequence[str],
                 pair: PromptPair) -> None:
        self._stream = TextStream(tokenizer.read, silent_ids)
        self._stop = tuple(stop)
        self._strips = not pair.reply_prefix
        if pair.reply_prefix:  # the completion then begins in the middle of a text
            for token in pair.student_ids:
                self._stream.push(token)
        self._held = self._sent = ""

    def push(self, token: int) -> str:
        """What can be shown after the token."""
        self._held += self._stream.push(token)
        firm = len(self._held[: self._may_stop()].rstrip())
        piece, self._held = self._held[:firm], self._held[firm:]
        if self._strips and not self._sent:
            piece = piece.lstrip()
        self._sent += piece
        return piece

    def rest(self, completion: str) -> str:
        """What is left of the whole text."""
        return completion[len(self._sent):] if completion.startswith(self._sent) else ""

    def _may_stop(self) -> int:
        """Where the longest end that begins a stop string begins."""
        return next((at for at in range(len(self._held))
                     if any(stop.startswith(self._held[at:]) for stop in self._stop)), len(self._held))
