"""Verifiable problems over the numbers 0 to 29: word problems (`story`) and sorting (`sort`).

Contract: `problem` is a pure function of its arguments; `problems` yields prompts with distinct ids, and those from
`start` on are the ones that a longer run from 0 would have yielded there. Every text is words separated by one space,
all of them in `WORDS`. A solution ends in "answer" and the gold answer: a checker takes what follows the last "answer".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from qstar_core.errors import ConfigError, DataError
from qstar_core.records import Message, Prompt, Role

LIMIT = 30
LARGEST_CHANGE = 6
NAMES = ("Tom", "Ann", "Bob", "Eva")
THINGS = ("apples", "coins", "books", "pens")
GAINS = ("buys", "finds")
LOSSES = ("eats", "loses")
# A step is found by its label, not by counting: models this small learn to match content much sooner than positions.
LABELS = ("a)", "b)", "c)", "d)", "e)")
# Draws in a row without a new problem after which a kind and difficulty counts as used up.
PATIENCE = 2000


class Style(StrEnum):
    """How a solution is written; the word itself is what a teacher is asked with."""

    STEPS = "steps"
    WORDS = "words"
    TERSE = "terse"
    BRIEF = "brief"


WORDS: tuple[str, ...] = (
    "has", ".", "how", "many", "?", "sort", "ref", "answer", "+", "-", "=", ";",
    "now", "then", "plus", "minus", "is", *Style, *NAMES, *THINGS, *GAINS, *LOSSES, *LABELS, *map(str, range(LIMIT)),
)


@dataclass(frozen=True, slots=True)
class Story:
    """Somebody has `start` things and gains (or, where negative, loses) each of `changes`."""

    name: str
    thing: str
    start: int
    verbs: tuple[str, ...]
    changes: tuple[int, ...]

    @classmethod
    def draw(cls, rng: random.Random, steps: int) -> Story:
        start = total = rng.randrange(1, LIMIT)
        verbs, changes = [], []
        for _ in range(steps):
            size = rng.randint(1, LARGEST_CHANGE)
            gain = total - size < 0 or (total + size < LIMIT and rng.random() < 0.5)
            verbs.append(rng.choice(GAINS if gain else LOSSES))
            changes.append(size if gain else -size)
            total += changes[-1]
        return cls(rng.choice(NAMES), rng.choice(THINGS), start, tuple(verbs), tuple(changes))

    @property
    def totals(self) -> tuple[int, ...]:
        """The number of things after each step."""
        return tuple(accumulate(self.changes, initial=self.start))[1:]

    @property
    def question(self) -> str:
        moves = zip(LABELS, self.verbs, self.changes, strict=False)
        told = " ".join(f"{label} {verb} {abs(change)} ." for label, verb, change in moves)
        return f"{self.name} has {self.start} {self.thing} . {told} how many ?"

    @property
    def reference(self) -> str:
        return " ".join(map(str, self.totals))

    @property
    def answer(self) -> str:
        return str(self.totals[-1])

    def solution(self, style: Style = Style.STEPS) -> str:
        befores = (self.start, *self.totals[:-1])
        parts = []
        for i, (before, change, after) in enumerate(zip(befores, self.changes, self.totals, strict=True)):
            if style is Style.STEPS:
                parts.append(f"{LABELS[i]} {before} {'+' if change > 0 else '-'} {abs(change)} = {after} ;")
            elif style is Style.WORDS:
                sign = "plus" if change > 0 else "minus"
                parts.append(f"{'then' if i else 'now'} {before} {sign} {abs(change)} is {after} .")
            elif style is Style.TERSE:
                parts.append(f"{LABELS[i]} {after} ;")
        return " ".join([*parts, f"answer {self.answer}"])


@dataclass(frozen=True, slots=True)
class Sorting:
    """Numbers to be put in ascending order. There is nothing to reason about, so every style is the same."""

    numbers: tuple[int, ...]

    @classmethod
    def draw(cls, rng: random.Random, count: int) -> Sorting:
        return cls(tuple(rng.randrange(LIMIT) for _ in range(count)))

    @property
    def question(self) -> str:
        return "sort " + " ".join(map(str, self.numbers))

    @property
    def reference(self) -> str:
        return " ".join(map(str, sorted(self.numbers)))

    @property
    def answer(self) -> str:
        return self.reference

    def solution(self, style: Style = Style.STEPS) -> str:
        del style
        return f"answer {self.answer}"


Problem = Story | Sorting
DIFFICULTIES: dict[str, tuple[int, ...]] = {"story": (2, 3, 4, 5), "sort": (3, 4)}
_DRAW: dict[str, Callable[[random.Random, int], Problem]] = {"story": Story.draw, "sort": Sorting.draw}


def draw(rng: random.Random, kind: str, difficulty: int) -> Problem:
    """The next problem of `rng`."""
    if difficulty not in DIFFICULTIES.get(kind, ()):
        known = "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in DIFFICULTIES.items())
        raise ConfigError(f"there is no {kind!r} problem of difficulty {difficulty}", f"choose from {known}")
    return _DRAW[kind](rng, difficulty)


def problem(seed: int, index: int, kind: str, difficulty: int) -> Prompt:
    """Problem number `index` of its kind and difficulty under `seed`."""
    made = draw(random.Random(f"{seed}/{index}/{kind}/{difficulty}"), kind, difficulty)
    return Prompt.of(
        messages=(Message(role=Role.USER, content=made.question),), answer=made.answer, solution=made.solution(),
        kind=kind, source="builtin:problems", meta={"difficulty": difficulty, "reference": made.reference},
    )


def problems(seed: int, count: int, kinds: Sequence[str] = ("story", "sort"),
             difficulties: Sequence[int] | None = None, start: int = 0) -> Iterator[Prompt]:
    """`count` distinct problems after the first `start`: kinds in turn, and within a kind its difficulties in turn.

    `difficulties` narrows each kind to those of its own that are named; a kind left with none is an error.
    """
    slots = [(kind, _narrowed(kind, difficulties)) for kind in kinds]
    if not slots:
        raise ConfigError("no kind of problem is named", f"choose from {', '.join(DIFFICULTIES)}")
    seen: set[str] = set()
    index = 0
    for position in range(start + count):
        turn, which = divmod(position, len(slots))
        kind, levels = slots[which]
        level = levels[turn % len(levels)]
        for _ in range(PATIENCE):
            found = problem(seed, index, kind, level)
            index += 1
            if found.id not in seen:
                break
        else:
            raise DataError(f"after {position} problems no new {kind} problem of difficulty {level} is found",
                            "ask for fewer problems, or name more kinds and difficulties")
        seen.add(found.id)
        if position >= start:
            yield found


def _narrowed(kind: str, difficulties: Sequence[int] | None) -> tuple[int, ...]:
    known = DIFFICULTIES.get(kind)
    if known is None:
        raise ConfigError(f"there is no kind of problem {kind!r}", f"choose from {', '.join(DIFFICULTIES)}")
    chosen = known if difficulties is None else tuple(level for level in known if level in difficulties)
    if not chosen:
        raise ConfigError(f"no {kind} problem has a difficulty in {tuple(difficulties or ())}",
                          f"{kind} problems have difficulties {known}")
    return chosen
