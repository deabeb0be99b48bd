"""Preference pairs of one prompt: a draw that is preferred, and one that is not.

Never two draws that say the same, never more than `per_prompt` of one prompt, the same ones for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from qstar_core.config import PairSettings
from qstar_core.selection.draws import Draw, order_of

_PURE = 1e-6


@dataclass(frozen=True, slots=True)
class Pair:
    chosen: Draw
    rejected: Draw

    @property
    def gap(self) -> int:
        """Characters that the chosen text is longer."""
        return len(self.chosen.completion) - len(self.rejected.completion)


def pairs_of(draws: Sequence[Draw], settings: PairSettings) -> list[Pair]:
    usable = sorted((draw for draw in draws if draw.words), key=lambda draw: order_of(settings.seed, draw.sample_id))
    found = (Pair(chosen, rejected) for chosen, rejected in _METHODS[settings.method](usable, settings)
             if chosen.words != rejected.words)
    return list(islice(found, settings.per_prompt))


def _verified(draws: list[Draw], settings: PairSettings) -> Iterator[tuple[Draw, Draw]]:
    """A kept draw with the gold answer, and one with another answer."""
    return _every([draw for draw in draws if draw.kept and draw.verified],
                  [draw for draw in draws if draw.verified is False])


def _teacher_student(draws: list[Draw], settings: PairSettings) -> Iterator[tuple[Draw, Draw]]:
    """A kept draw of the teacher alone (α = 1), and one of the student alone (α = 0)."""
    return _every([draw for draw in draws if draw.kept and draw.alpha is not None and draw.alpha > 1 - _PURE],
                  [draw for draw in draws if draw.alpha is not None and draw.alpha < _PURE])


def _score(draws: list[Draw], settings: PairSettings) -> Iterator[tuple[Draw, Draw]]:
    return _by_value([(draw.score, draw) for draw in draws], settings.margin)


def _likelihood(draws: list[Draw], settings: PairSettings) -> Iterator[tuple[Draw, Draw]]:
    return _by_value([(draw.logq, draw) for draw in draws], settings.margin)


def _by_value(valued: list[tuple[float | None, Draw]], margin: float) -> Iterator[tuple[Draw, Draw]]:
    """Of the kept draws, the highest with the lowest, the second highest with the second lowest, and so on."""
    known = sorted(((value, draw) for value, draw in valued if value is not None and draw.kept),
                   key=lambda entry: -entry[0])
    for (high, chosen), (low, rejected) in zip(known, reversed(known), strict=True):
        if high <= low or high - low < margin:
            return
        yield chosen, rejected


def _every(good: list[Draw], bad: list[Draw]) -> Iterator[tuple[Draw, Draw]]:
    """Every combination, each draw once before any comes again as far as that goes."""
    for shift in range(len(bad)):
        for i, chosen in enumerate(good):
            yield chosen, bad[(i + shift) % len(bad)]


_METHODS: dict[str, Callable[[list[Draw], PairSettings], Iterator[tuple[Draw, Draw]]]] = {
    "verified": _verified, "score": _score, "likelihood": _likelihood, "teacher_student": _teacher_student,
}
