"""A JSON file: a list of objects (bare, or under a key such as `data`), streamed item by item, or JSON lines.

Items are cut out of the text by their brackets and then parsed one by one, by the same rules as lines: a broken item is
a reject, and neither the length of the list nor a deep nesting fills the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qstar_core.errors import DataError
from qstar_core.sources.readers.lines import read_lines
from qstar_core.sources.readers.row import LONGEST, Row, overlong, parsed, unreadable
from qstar_core.sources.readers.text import open_bytes

_OPENING = re.compile(rb'\s*(?:\[|\{\s*"(?:data|rows|examples|instances)"\s*:\s*\[)')
_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')
_BLOCK = 1 << 16


def read_json(path: Path, name: str) -> Iterator[Row]:
    with open_bytes(path, name) as stream:
        try:
            head = stream.read(_BLOCK)
        except (OSError, EOFError) as error:
            raise unreadable(name, 0, error) from None
        opening = _OPENING.match(head)
        if opening is not None:
            items = _Items(stream, head[opening.end():], name)
            yield from items.read()
            if opening.group().strip() == b"[" and items.rest():
                raise DataError(f"{name} goes on after its list", "give one list, or one object a line")
            return
    if head.lstrip()[:1] not in (b"{", b""):
        raise DataError(f"{name} holds neither a list nor objects", "give a list of JSON objects")
    yield from read_lines(path, name)


class _Items:
    """Cuts the items of one list apart. `_buffer` begins where the item does, unless that is too long to keep."""

    def __init__(self, stream: BinaryIO, head: bytes, name: str) -> None:
        self._stream, self._buffer, self._name = stream, head, name
        self._position = self._depth = self._index = 0
        self._in_text = False
        self._too_long: bytes | None = None

    def read(self) -> Iterator[Row]:
        while True:
            found = (_INSIDE if self._in_text else _OUTSIDE).search(self._buffer, self._position)
            if found is None:
                self._fill()
                continue
            sign, self._position = found.group(), found.end()
            if sign == b"\\":
                self._position += 1
            elif sign == b'"':
                self._in_text = not self._in_text
            elif sign in b"[{":
                self._depth += 1
            elif sign in b"]}" and self._depth > 0:
                self._depth -= 1
            elif self._depth == 0:
                raw, self._buffer, self._position = self._buffer[: found.start()], self._buffer[found.end():], 0
                if raw.strip() or self._too_long is not None or sign == b",":
                    yield self._row(raw)
                if sign != b",":
                    return

    def rest(self) -> bytes:
        """The beginning of what follows the list."""
        return (self._buffer + self._stream.read(_BLOCK)).strip()

    def _row(self, raw: bytes) -> Row:
        index, self._index = self._index, self._index + 1
        if self._too_long is not None or len(raw) > LONGEST:
            start, self._too_long = self._too_long or raw, None
            return overlong(index, start, "item")
        return parsed(index, raw, "item")

    def _fill(self) -> None:
        if len(self._buffer) > LONGEST:
            self._too_long = self._too_long or self._buffer[:1000]
            self._position = max(0, self._position - len(self._buffer))
            self._buffer = b""
        self._position = max(self._position, len(self._buffer))
        try:
            block = self._stream.read(_BLOCK)
        except (OSError, EOFError) as error:
            raise unreadable(self._name, self._index, error) from None
        if not block:
            raise unreadable(self._name, self._index, EOFError("the list is not closed"))
        self._buffer += block
