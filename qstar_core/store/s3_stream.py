"""An object as a stream. A connection that breaks on the way is opened again where it broke, if the object is still the
same one: `If-Match` holds it to that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from qstar_core.store.integrity import CHUNK

_BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_LONGEST_PAUSE_S = 8.0


def stream(client: Any, place: dict[str, str], start: int, attempts: int) -> Iterator[bytes]:
    """`attempts` are counted anew whenever something arrived."""
    given: dict[str, str] = {}
    left = attempts
    while True:
        if start:
            given["Range"] = f"bytes={start}-"
        answer = client.get_object(**place, **given)
        given["IfMatch"] = str(answer["ETag"])
        try:
            while data := answer["Body"].read(CHUNK):
                start += len(data)
                left = attempts
                yield data
            return
        except _BROKEN:
            left -= 1
            if not left:
                raise
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.1 * 2 ** (attempts - left))))
        finally:
            answer["Body"].close()
