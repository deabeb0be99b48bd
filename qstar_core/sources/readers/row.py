"""One row of a file, read or at fault, and how its raw JSON text is judged."""

from __future__ import annotations

import json
from dataclasses import dataclass

from qstar_core.errors import DataError
from qstar_core.records import JsonObject

LONGEST = 10_000_000
BEGINNING = 300


@dataclass(frozen=True, slots=True)
class Row:
    """`values` is None where the row is at fault; `fault` says why and `text` is its beginning."""

    index: int
    values: JsonObject | None
    fault: str = ""
    text: str = ""


def overlong(index: int, raw: bytes, noun: str) -> Row:
    return Row(index, None, f"the {noun} is longer than 10 MB", beginning(raw))


def parsed(index: int, raw: bytes, noun: str) -> Row:
    """The JSON object that the text spells. `noun` says what the text is: a line, or an item of a list."""
    try:
        values = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Row(index, None, f"the {noun} is not UTF-8", beginning(raw))
    except (ValueError, RecursionError):  # ValueError also for an integer of thousands of digits
        return Row(index, None, f"the {noun} is not JSON", beginning(raw))
    if not isinstance(values, dict):
        return Row(index, None, f"the {noun} is not a JSON object", beginning(raw))
    if b"\\ud" in raw.lower() and not _encodes(values):
        return Row(index, None, f"the {noun} escapes half of a surrogate pair", beginning(raw))
    if len({name.strip().lower() for name in values}) < len(values):
        return Row(index, None, "two columns differ in case only", beginning(raw))
    return Row(index, values)


def beginning(raw: bytes) -> str:
    return raw[:BEGINNING].decode("utf-8", "replace").strip()


def unreadable(name: str, index: int, error: BaseException) -> DataError:
    """`index` rows were read before the file failed."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return DataError(f"cannot read {name} after row {index}: {reason}",
                     "the file is damaged or cut off; fetch it again, or mend it")


def _encodes(values: JsonObject) -> bool:
    """Whether every text can be written again."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
