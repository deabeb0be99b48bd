"""The bytes of a text file, plain or compressed, as a stream. A compressed file that is cut off raises at its end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from qstar_core.sources.readers.row import unreadable

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_BUFFER = 1 << 18
_MARK = b"\xef\xbb\xbf"


def open_bytes(path: Path, name: str) -> BinaryIO:
    """Positioned behind the byte order mark, where there is one. DataError where the beginning cannot be read."""
    try:
        stream = _opened(path)
        if stream.peek(3)[:3] == _MARK:
            stream.read(3)
    except (OSError, EOFError) as error:
        raise unreadable(name, 0, error) from None
    return stream


def _opened(path: Path) -> io.BufferedReader:
    compression = COMPRESSION.get(path.suffix.lower())
    if compression is None:
        return io.BufferedReader(path.open("rb", buffering=0), _BUFFER)
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression=compression), _BUFFER)
