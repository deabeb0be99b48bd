"""The columns of one row, by names that compare without case. Whatever a value is, asking for it never fails: what is
not of the wanted kind is as good as missing, until `needed_text` says that a row cannot do without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from qstar_core.errors import RowError
from qstar_core.records import JsonObject

_DEEPEST = 20


class Columns:
    def __init__(self, values: JsonObject) -> None:
        self._values = {name.strip().lower(): value for name, value in values.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._values)

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, *names: str) -> str | None:
        """The first of the columns that holds a text or a number, without the blanks around it."""
        return next((text for name in names if (text := as_text(self._values.get(name))) is not None), None)

    def needed_text(self, *names: str) -> str:
        found = self.text(*names)
        if found is None:
            raise RowError("the prompt is empty" if any(name in self for name in names)
                           else f"the column {' or '.join(names)} is missing")
        return found

    def items(self, name: str) -> list[Any]:
        value = self._values.get(name)
        return list(value) if isinstance(value, list | tuple) else []

    def mapping(self, name: str) -> JsonObject:
        value = self._values.get(name)
        return dict(value) if isinstance(value, dict) else {}

    def kept(self, names: Iterable[str]) -> JsonObject:
        """The named columns that hold something, as values that JSON can hold."""
        return {name: plain(value) for name in names if (value := self._values.get(name)) not in (None, "", [], {})}


def as_text(value: Any) -> str | None:
    """A text or a finite number; a list of one counts as its item. Blank text is none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and not isfinite(value):  # how tables write that a number is missing
        return None
    return str(value).strip() or None


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it: what is no number is null, and what JSON does not know is told as text."""
    if depth > _DEEPEST:
        raise RowError(f"a value is nested deeper than {_DEEPEST}")
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, depth + 1) for inner in value]
    return str(value)
