"""Gold answers as datasets write them → the answer alone, or None where there is none to compare with."""

from __future__ import annotations

import re
from typing import Any

from qstar_core.answers import last_boxed
from qstar_core.errors import RowError
from qstar_core.sources.columns import as_text

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_STATED = re.compile(r"\bthe answer is:?[ \t]*+([^\n]+)", re.IGNORECASE)
_NOT_AN_ANSWER = frozenset({"proof", "notfound", "not found", "n/a"})
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def after_hashes(worked: str) -> tuple[str, str]:
    """GSM8K's `worked solution #### answer`: the answer without thousands separators, the solution without calculator
    marks. RowError where there is no answer."""
    if not worked:
        raise RowError("the answer is missing")
    solution, mark, final = worked.rpartition("####")
    if not mark:
        raise RowError("the answer has no #### mark")
    if not final.strip():
        raise RowError("nothing follows the #### mark")
    return final.strip().replace(",", ""), _CALCULATOR.sub("", solution).strip()


def mathematical(answer: Any) -> str | None:
    """An answer column of mathematics: what is in its box or between its dollars. `proof` and `notfound` are none."""
    text = as_text(answer)
    if text is None or text.casefold() in _NOT_AN_ANSWER:
        return None
    inner = last_boxed(text) if text.startswith(("\\boxed", "$\\boxed")) else text
    if inner and len(inner) > 2 and inner.startswith("$") and inner.endswith("$") and inner.count("$") == 2:
        inner = inner[1:-1].strip()
    return inner or None


def has_no_answer(answer: Any) -> bool:
    """The dataset says itself that there is no final answer."""
    text = as_text(answer)
    return text is not None and text.casefold() in _NOT_AN_ANSWER


def stated(response: str) -> str | None:
    """What a worked response ends in: after `####`, after "The answer is", or in its box."""
    _, mark, final = response.rpartition("####")
    if mark and final.strip():
        return final.strip().splitlines()[0].replace(",", "")
    found = _STATED.findall(response)
    if found:
        return str(found[-1]).strip().rstrip(".").strip() or None
    return last_boxed(response) or None


def letter(key: Any, labels: list[str], texts: list[str]) -> str | None:
    """The label of the right choice. The key may be a label, a number from 0 (as MMLU counts), or the text itself."""
    text = as_text(key)
    if text is None or not labels:
        return None
    by_label = {label.casefold(): label for label in labels}
    if text.casefold().strip("().") in by_label:
        return by_label[text.casefold().strip("().")]
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(labels):
        return labels[key]
    matching = [label for label, choice in zip(labels, texts, strict=True) if choice.casefold() == text.casefold()]
    if len(matching) != 1:
        raise RowError("the key names none of the choices")
    return matching[0]
