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
_LETTER = re.compile(r"[A-Z]")
_OPTION = re.compile(r"(?:^|[\s(\[])\(?([A-Z])[).:\]]\s", re.MULTILINE)
_STATED_LETTER = re.compile(
    r"(?i:\b(?:answer|option|choice)\b(?:\s++is)?+(?:\s++(?:the\s++)?+(?:option|choice|letter))?+)\s*+[:=]?+\s*+[$(*\[{]{0,4}"
    r"(?:\\(?:boxed|text|textbf|mathrm)\{){0,2}\(?([A-Z])\b(?![’'])")
_LEADING_LETTER = re.compile(r"[\s$(*\[{]{0,6}(?:\\(?:text|textbf|mathrm)\{\(?)?([A-Z])(?:$|[\s).:,*\]}$])")


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


def is_choice(question: str, gold: str) -> bool:
    """The gold answer is the letter of one of the choices that the question lists."""
    if not _LETTER.fullmatch(gold.strip()):
        return False
    listed = set(_OPTION.findall(question))
    return gold.strip() in listed and len(listed) > 1


def choice_letter(text: str) -> str | None:
    """The letter that a text chooses: in its box, else the last one after "answer", "option" or "choice", else the one
    that the text or its last line begins with."""
    boxed = last_boxed(text)
    if boxed is not None:
        found = _LEADING_LETTER.match(boxed)
        return found[1] if found else None
    stated = _STATED_LETTER.findall(text)
    if stated:
        return str(stated[-1])
    lines = text.strip().splitlines()
    for line in (lines[-1], lines[0]) if lines else ():
        found = _LEADING_LETTER.match(line)
        if found and (found.end() >= len(line.rstrip()) or line[found.start(1) + 1] in ").:,*]}$"):
            return found[1]
    return None


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
