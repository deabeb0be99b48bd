"""Preference pairs on the embedded task: a worked solution, and the same one with a single fault of a known kind.

Contract: a pure function of its arguments; no two pairs have one prompt; the rejected text differs from the chosen one
and is made of the task's words. Of sorting problems only the answer can be wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from qstar_core.errors import ConfigError
from qstar_core.records import Message, Role
from qstar_core.reward.pairs import PreferencePair
from qstar_core.tiny.problems import DIFFICULTIES, LABELS, LARGEST_CHANGE, LIMIT, Sorting, Story, draw


class Fault(StrEnum):
    """What is wrong with the rejected solution."""

    WRONG_TOTAL = "wrong_total"
    WRONG_ANSWER = "wrong_answer"
    WRONG_SIZE = "wrong_size"
    WRONG_LABEL = "wrong_label"
    DROPPED_STEP = "dropped_step"
    SWAPPED_STEPS = "swapped_steps"
    TRUNCATED = "truncated"
    WRONG_SIGN = "wrong_sign"
    REPEATED_STEP = "repeated_step"
    CARRIED_ERROR = "carried_error"
    WRONG_NUMBER = "wrong_number"
    DROPPED_NUMBER = "dropped_number"
    SWAPPED_NUMBERS = "swapped_numbers"
    REPEATED_NUMBER = "repeated_number"


UNSEEN = (Fault.WRONG_SIGN, Fault.REPEATED_STEP, Fault.CARRIED_ERROR, Fault.REPEATED_NUMBER)
"""Kept out of training, to see what a reward model makes of faults that it does not know."""
SEEN = tuple(fault for fault in Fault if fault not in UNSEEN)

_SORT_SHARE = 0.15
_SIZE, _AFTER = 3, 5  # places in the words of a step: label before sign size = after


def corrupted_pairs(seed: int, count: int, faults: Sequence[Fault] = SEEN) -> Iterator[PreferencePair]:
    """`count` pairs; the faults that fit a problem take turns at random."""
    stories, sortings = ([fault for fault in faults if fault in table] for table in (_OF_STORIES, _OF_SORTINGS))
    if not stories and not sortings:
        raise ConfigError("no kind of fault is named", f"choose from {', '.join(Fault)}")
    share = _SORT_SHARE if stories and sortings else float(not stories)
    rng = random.Random(f"faults/{seed}")
    seen: set[str] = set()
    while len(seen) < count:
        sort = rng.random() < share
        kind = "sort" if sort else "story"
        problem = draw(rng, kind, rng.choice(DIFFICULTIES[kind]))
        fault = rng.choice(sortings if sort else stories)
        if problem.question in seen:
            continue
        spoilt = _spoilt(problem, fault, rng)
        if spoilt is None:
            continue
        seen.add(problem.question)
        yield PreferencePair(prompt=(Message(role=Role.USER, content=problem.question),), chosen=problem.solution(),
                             rejected=spoilt, kind=fault.value)


def _spoilt(problem: Story | Sorting, fault: Fault, rng: random.Random) -> str | None:
    """None where this problem cannot have this fault."""
    if isinstance(problem, Sorting):
        numbers = _OF_SORTINGS[fault](sorted(problem.numbers), rng)
        return None if numbers == sorted(problem.numbers) else f"answer {' '.join(map(str, numbers))}"
    *steps, answer = problem.solution().split(" ; ")
    spoilt = _OF_STORIES[fault](steps, answer, rng)
    return None if spoilt == problem.solution() else spoilt


def _joined(steps: list[str], answer: str) -> str:
    return " ; ".join([*steps, answer])


def _other(number: int, rng: random.Random, least: int = 0, most: int = LIMIT - 1, reach: int = 4) -> int:
    """Another number near this one."""
    near = [n for n in range(max(least, number - reach), min(most, number + reach) + 1) if n != number]
    return rng.choice(near)


def _wrong_word(steps: list[str], answer: str, rng: random.Random, place: int) -> str:
    """One number of one step is another one; nothing follows from it."""
    at = rng.randrange(len(steps))
    words = steps[at].split()
    least, most = (1, LARGEST_CHANGE) if place == _SIZE else (0, LIMIT - 1)
    words[place] = str(_other(int(words[place]), rng, least, most))
    return _joined([*steps[:at], " ".join(words), *steps[at + 1 :]], answer)


def _wrong_total(steps: list[str], answer: str, rng: random.Random) -> str:
    return _wrong_word(steps, answer, rng, _AFTER)


def _wrong_size(steps: list[str], answer: str, rng: random.Random) -> str:
    return _wrong_word(steps, answer, rng, _SIZE)


def _wrong_answer(steps: list[str], answer: str, rng: random.Random) -> str:
    return _joined(steps, f"answer {_other(int(answer.split()[1]), rng)}")


def _wrong_label(steps: list[str], answer: str, rng: random.Random) -> str:
    at = rng.randrange(len(steps))
    label, rest = steps[at].split(" ", 1)
    other = rng.choice([name for name in LABELS if name != label])
    return _joined([*steps[:at], f"{other} {rest}", *steps[at + 1 :]], answer)


def _wrong_sign(steps: list[str], answer: str, rng: random.Random) -> str:
    at = rng.randrange(len(steps))
    turned = steps[at].translate(str.maketrans("+-", "-+"))
    return _joined([*steps[:at], turned, *steps[at + 1 :]], answer)


def _dropped_step(steps: list[str], answer: str, rng: random.Random) -> str:
    at = rng.randrange(len(steps))
    return _joined([*steps[:at], *steps[at + 1 :]], answer)


def _repeated_step(steps: list[str], answer: str, rng: random.Random) -> str:
    at = rng.randrange(len(steps))
    return _joined([*steps[: at + 1], *steps[at:]], answer)


def _swapped_steps(steps: list[str], answer: str, rng: random.Random) -> str:
    one, other = rng.sample(range(len(steps)), 2)
    order = list(steps)
    order[one], order[other] = order[other], order[one]
    return _joined(order, answer)


def _truncated(steps: list[str], answer: str, rng: random.Random) -> str:
    """Cut somewhere after the first word, before the answer's number."""
    words = _joined(steps, answer).split()
    return " ".join(words[: rng.randrange(1, len(words))])


def _carried_error(steps: list[str], answer: str, rng: random.Random) -> str:
    """One sum is wrong, and everything after it goes on from there, rightly."""
    del answer
    at = rng.randrange(len(steps))
    told, total = [], 0
    for index, step in enumerate(steps):
        label, before, sign, size, _, after = step.split()
        start = int(before) if index == 0 else total
        total = start + int(size) * (1 if sign == "+" else -1)
        if index == at:
            total = _other(int(after), rng)
        total = min(max(total, 0), LIMIT - 1)
        told.append(f"{label} {start} {sign} {size} = {total}")
    return _joined(told, f"answer {total}")


def _wrong_number(numbers: list[int], rng: random.Random) -> list[int]:
    at = rng.randrange(len(numbers))
    return sorted([*numbers[:at], _other(numbers[at], rng), *numbers[at + 1 :]])


def _dropped_number(numbers: list[int], rng: random.Random) -> list[int]:
    at = rng.randrange(len(numbers))
    return [*numbers[:at], *numbers[at + 1 :]]


def _swapped_numbers(numbers: list[int], rng: random.Random) -> list[int]:
    one, other = rng.sample(range(len(numbers)), 2)
    order = list(numbers)
    order[one], order[other] = order[other], order[one]
    return order


def _repeated_number(numbers: list[int], rng: random.Random) -> list[int]:
    at = rng.randrange(len(numbers))
    return [*numbers[: at + 1], *numbers[at:]]


_OF_STORIES: dict[Fault, Callable[[list[str], str, random.Random], str]] = {
    Fault.WRONG_TOTAL: _wrong_total, Fault.WRONG_ANSWER: _wrong_answer, Fault.WRONG_SIZE: _wrong_size,
    Fault.WRONG_LABEL: _wrong_label, Fault.DROPPED_STEP: _dropped_step, Fault.SWAPPED_STEPS: _swapped_steps,
    Fault.TRUNCATED: _truncated, Fault.WRONG_SIGN: _wrong_sign, Fault.REPEATED_STEP: _repeated_step,
    Fault.CARRIED_ERROR: _carried_error,
}
_OF_SORTINGS: dict[Fault, Callable[[list[int], random.Random], list[int]]] = {
    Fault.WRONG_NUMBER: _wrong_number, Fault.DROPPED_NUMBER: _dropped_number,
    Fault.SWAPPED_NUMBERS: _swapped_numbers, Fault.REPEATED_NUMBER: _repeated_number,
}
