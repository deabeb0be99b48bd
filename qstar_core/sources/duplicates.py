"""Prompts that came before, exactly or nearly. Near means that the sets of five-word shingles of two questions are
alike (Jaccard, estimated by MinHash) *and* that their golds are the same: a sum with other numbers is another question.
"""

from __future__ import annotations

import re
from typing import Any

from qstar_core.records import Prompt

EXACT = "the prompt occurred before"
NEAR = "a near-duplicate of the prompt occurred before"
_SHINGLE = 5
_PERMUTATIONS = 128
_WORD = re.compile(r"\w+|[^\w\s]")


class Duplicates:
    """Remembers what it was shown: 64 bits of every id, and with a threshold some kilobytes of MinHash a prompt."""

    def __init__(self, threshold: float | None) -> None:
        self._ids: set[int] = set()
        self._near = None if threshold is None else _Near(threshold)

    def reason(self, prompt: Prompt) -> str | None:
        """Why the prompt is left out; None where it is new, and then it is remembered."""
        number = int(prompt.id, 16)
        if number in self._ids:
            return EXACT
        if self._near is not None and self._near.seen(prompt):
            return NEAR
        self._ids.add(number)
        return None


class _Near:
    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH  # brings scipy, which most runs do not need

        self._threshold = threshold
        self._empty = MinHash(num_perm=_PERMUTATIONS)
        self._lsh: Any = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
        self._kept: dict[str, tuple[Any, str | None]] = {}

    def seen(self, prompt: Prompt) -> bool:
        """Whether an earlier prompt is alike; if none is, this one is remembered."""
        found = self._empty.copy()
        found.update_batch(sorted(shingles("\n".join(message.content for message in prompt.messages))))
        gold = None if prompt.answer is None else prompt.answer.casefold()
        for name in self._lsh.query(found):
            other, other_gold = self._kept[name]
            if other_gold == gold and found.jaccard(other) >= self._threshold:
                return True
        self._lsh.insert(prompt.id, found)
        self._kept[prompt.id] = (found, gold)
        return False


def shingles(text: str) -> set[bytes]:
    """Runs of five words or signs, without case; a shorter text is one shingle."""
    found = _WORD.findall(text.casefold())
    if len(found) <= _SHINGLE:
        return {" ".join(found).encode("utf-8", "surrogatepass")}
    return {" ".join(found[start : start + _SHINGLE]).encode("utf-8", "surrogatepass")
            for start in range(len(found) - _SHINGLE + 1)}
