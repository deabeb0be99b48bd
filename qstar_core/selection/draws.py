"""One judged completion, as choosing sees it: its text, its fate, and what it can be ranked by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from qstar_core.answers import final_answer, same_answer
from qstar_core.records import JsonObject

Turns = tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """`prompt` is the student's conversation, None where a file does not tell it. `logq` and `logp_t` are per token;
    None where the round recorded none. `alpha` is the mean over the tokens."""

    sample_id: str
    prompt_id: str
    position: int
    kept: bool
    completion: str
    prompt: Turns | None = None
    answer: str | None = None
    kind: str = ""
    source: str = ""
    stage: str = ""
    reason: str = ""
    score: float | None = None
    logq: float | None = None
    logp_t: float | None = None
    alpha: float | None = None

    @property
    def verified(self) -> bool | None:
        """Does it end in the gold answer? None where there is no gold answer."""
        if self.answer is None:
            return None
        given = final_answer(self.completion)
        return given is not None and same_answer(given, self.answer)

    @property
    def words(self) -> tuple[str, ...]:
        """Two draws with the same words say the same."""
        return tuple(self.completion.split())


def pass_rate(draws: Sequence[Draw], least: int) -> float | None:
    """Share of the draws that end in the gold answer; None without one, or with fewer than `least` draws."""
    verdicts = [draw.verified for draw in draws]
    if len(verdicts) < least or None in verdicts:
        return None
    return sum(map(bool, verdicts)) / len(verdicts)


def order_of(seed: int, *names: str) -> int:
    """A number that orders things at random, the same for the same seed and names on every machine."""
    text = "\x00".join((str(seed), *names))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big")
