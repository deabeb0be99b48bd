"""Final answers: what a text commits to, and when two answers are the same. Numbers compare as numbers, everything else
as words without case.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

# Possessive: a completion of nothing but white space must not make the search go back and forth.
_MARKS = (re.compile(r"####\s*+"), re.compile(r"\banswer\b(?:\s++is\b)?+\s*+[:=]?+\s*+", re.IGNORECASE))
_NUMBER = re.compile(r"[-−]?\d+(?:,\d+)*(?:\.\d+)?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed +([^\s{}$\\]+)")
_WRAPPING = " \t$*`'\".,;:!?"


def final_answer(text: str) -> str | None:
    """The last `\\boxed{…}`, else what follows the last `####`, else the last "answer", else the last number."""
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    for mark in _MARKS:
        for found in reversed(list(mark.finditer(text))):
            line = text[found.end():].partition("\n")[0].strip()
            if line:
                return line
    numbers = _NUMBER.findall(text)
    return numbers[-1] if numbers else None


def same_answer(given: str, gold: str) -> bool:
    if _words(given) == _words(gold):
        return True
    wanted = _number(gold)
    return wanted is not None and _stated_number(given) == wanted


def last_boxed(text: str) -> str | None:
    """What stands in the last `\\boxed{…}` or `\\fbox{…}`, braces balanced; `\\boxed 5` boxes one word."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    unbraced = text.rfind("\\boxed ")
    if unbraced > start and (word := _BARE_BOX.match(text, unbraced)) is not None:
        return word[1]
    if start < 0:
        return None
    depth = 0
    for brace in _BRACE.finditer(text, start + 1):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return text[text.index("{", start) + 1 : brace.start()].strip()
    return None


def _words(text: str) -> list[str]:
    return text.strip(_WRAPPING).casefold().split()


def _stated_number(text: str) -> Decimal | None:
    """The number that a phrase such as `5 + 3 = 8 apples` states: the one after the last `=`, else its only one."""
    numbers = {_number(found) for found in _NUMBER.findall(text.rpartition("=")[2])}
    return numbers.pop() if len(numbers) == 1 else None


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip(_WRAPPING).replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
