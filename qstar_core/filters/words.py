"""Words for counting and comparing: runs of letters and digits without case; signs that are written without spaces
between words (Chinese, Japanese, Korean, Thai) count one by one."""

from __future__ import annotations

import re

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def words_and_signs(text: str) -> list[str]:
    """As written, punctuation and operators apart: in mathematics they are what differs."""
    return _TOKEN.findall(text)


def grams(found: list[str], n: int) -> set[str]:
    """The runs of n words; a shorter text is one run by itself."""
    if len(found) <= n:
        return {" ".join(found)} if found else set()
    return {" ".join(found[start : start + n]) for start in range(len(found) - n + 1)}
