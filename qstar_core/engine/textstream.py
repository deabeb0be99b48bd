"""Token ids one by one → the text they add. Joined, the pieces are the decoded text; control tokens add nothing.

Each piece costs the decoding of a short window of the last tokens, however long the text is: what is new, and before it
the tokens of the last piece, because decoders treat the first token in their own way. A character that several tokens
spell comes with the last of them: while the text ends in what may be the beginning of one, that is held back.
"""

from __future__ import annotations

from collections.abc import Callable

_UNFINISHED = "\ufffd"
_LONGEST_BEGINNING = 3  # bytes of a character that is not complete yet; decoders show each as one mark, or all as one
_LONGEST, _KEPT = 32, 4  # bytes that are no text at all never come to a whole character; a run of them is cut


class TextStream:
    def __init__(self, decode: Callable[[list[int]], str], silent_ids: frozenset[int]) -> None:
        self._decode = decode
        self._silent_ids = silent_ids
        self._window: list[int] = []
        self._whole = 0  # the first so many tokens of the window ended in a whole character
        self._shown = ""

    def push(self, token: int) -> str:
        """What the token adds to the text; empty while a character is on its way."""
        if token in self._silent_ids:
            return ""
        self._window.append(token)
        text = self._decode(self._window)
        held = min(len(text) - len(text.rstrip(_UNFINISHED)), _LONGEST_BEGINNING)
        firm = text[: len(text) - held]
        piece = ""
        if firm.startswith(self._shown) or not held:
            piece = firm[len(self._shown):]
            self._shown = firm
        if not held:
            self._begin_at(self._whole, held)
            self._whole = len(self._window)
        elif len(self._window) > _LONGEST:
            self._begin_at(len(self._window) - _KEPT, held)
            self._whole = 0
        return piece

    def _begin_at(self, start: int, held: int) -> None:
        """Forget the window before `start`, unless nothing of the text would be left to begin with."""
        text = self._decode(self._window[start:])
        if text or len(self._window) > _LONGEST:
            del self._window[:start]
            self._shown = text[: len(text) - held]
