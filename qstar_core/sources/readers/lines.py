"""JSON lines: every line that is not blank is a row. Memory holds one line, and never more than 10 MB of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qstar_core.sources.readers.row import LONGEST, Row, overlong, parsed, unreadable
from qstar_core.sources.readers.text import open_bytes


def read_lines(path: Path, name: str) -> Iterator[Row]:
    index = 0
    try:
        with open_bytes(path, name) as stream:
            while line := stream.readline(LONGEST + 1):
                if len(line) > LONGEST and not line.endswith(b"\n"):
                    _skip_line(stream)
                    yield overlong(index, line, "line")
                elif line.strip():
                    yield parsed(index, line, "line")
                else:
                    continue
                index += 1
    except (OSError, EOFError) as error:
        raise unreadable(name, index, error) from None


def _skip_line(stream: BinaryIO) -> None:
    while rest := stream.readline(LONGEST):
        if rest.endswith(b"\n"):
            return
