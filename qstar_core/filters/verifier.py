"""Whether two answers are the same mathematics, judged by math-verify in worker processes that can be killed.

Its own timeouts use signal.alarm, which needs a main thread and cannot break into long integer arithmetic: each worker
asks in its main thread, and a worker that does not answer in time is killed. What cannot be judged is an error, never a
difference.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import TimeoutError as LateError
from enum import Enum

from pebble import ProcessExpired, ProcessFuture, ProcessPool

_GRACE = 2.0  # seconds that the worker's own timeouts have before it is killed
_SIGNS = re.compile(r"[\\^_/%√π∞≤≥<>(\[{|]|(?<=\d)[a-z]\b|\b[a-z]\b")
_COMMANDS = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_NAMES = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|inf|infinity|min|max|mod|gcd|lcm)\b",
                    re.IGNORECASE)
_PROSE = re.compile(r"[^\W\d_]{3,}")
_LONGEST = 2000  # characters of an answer that are looked at


class Equality(Enum):
    SAME = "same"
    DIFFERENT = "different"
    ERROR = "error"


def is_mathematics(given: str, gold: str) -> bool:
    """Worth asking: the gold answer is a formula or a number, not words, and one of the two is more than digits.
    math-verify would read `listen` and `silent` as the same product of letters."""
    given, gold = given[:_LONGEST], gold[:_LONGEST]
    return not _has_prose(gold) and bool(_SIGNS.search(gold) or (_SIGNS.search(given) and re.search(r"\d", gold)))


def _has_prose(text: str) -> bool:
    return bool(_PROSE.search(_NAMES.sub(" ", _COMMANDS.sub(" ", text))))


def as_latex(text: str) -> str:
    """Bare LaTeX between dollars, so that it is read as such; prose and what has marks of its own stays."""
    text = text.strip()
    if "$" in text or "\\(" in text or "\\[" in text or "\\boxed" in text or _has_prose(text):
        return text
    return f"${text.rstrip('.,;:!')}$"


class Verifier:
    """Processes start with the first question and are gone after `close`."""

    def __init__(self, processes: int, timeout: float, memory_mb: int) -> None:
        self._processes, self._timeout, self._memory_mb = processes, timeout, memory_mb
        self._pool: ProcessPool | None = None

    def compare(self, pairs: Sequence[tuple[str, str]]) -> list[Equality]:
        """(given, gold) → the verdict, in order."""
        if not pairs:
            return []
        if self._pool is None:
            self._pool = ProcessPool(max_workers=self._processes, initializer=_begin, initargs=(self._memory_mb,),
                                     context=multiprocessing.get_context("spawn"))
        seconds = math.ceil(self._timeout)
        asked = [self._pool.schedule(same_mathematics, args=(given[:_LONGEST], gold[:_LONGEST], seconds),
                                     timeout=seconds + _GRACE) for given, gold in pairs]
        return [_answer(future) for future in asked]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


def _answer(future: ProcessFuture[Equality]) -> Equality:
    try:
        found: Equality = future.result()
    except (LateError, ProcessExpired, MemoryError, RecursionError):
        return Equality.ERROR
    return found


def _begin(memory_mb: int) -> None:
    """In the worker: import once, and leave the machine its memory."""
    import resource

    import math_verify

    logging.getLogger(math_verify.__name__).setLevel(logging.ERROR)
    limit = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def same_mathematics(given: str, gold: str, seconds: int) -> Equality:
    """In the worker's main thread."""
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    try:
        wanted = parse(as_latex(gold), parsing_timeout=seconds, raise_on_error=True)
        found = parse(as_latex(given), parsing_timeout=seconds, raise_on_error=True)
        if not wanted:
            return Equality.ERROR
        same = bool(found) and verify(wanted, found, timeout_seconds=seconds, raise_on_error=True)
    except (TimeoutException, Exception):  # noqa: BLE001 - whatever sympy raises, nothing was judged
        return Equality.ERROR
    return Equality.SAME if same else Equality.DIFFERENT
