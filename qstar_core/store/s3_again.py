"""What is asked for again beside the client's own repetitions: an answer that broke off or was damaged in its body.

The client repeats a request until its answer begins. A read that gets less than the whole object, or other bytes than
the checksum says, begins anew here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import (
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from qstar_core.store.s3_errors import NoAnswerError

_BROKEN_BODY = (FlexibleChecksumError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
T = TypeVar("T")


def again(fetch: Callable[[], T], attempts: int) -> T:
    """What `fetch` returns, once it comes whole; the last error after so many attempts."""
    for _ in range(attempts - 1):
        try:
            return fetch()
        except _BROKEN_BODY:
            continue
    return fetch()


def no_answer(exception: Exception, **_: Any) -> None:
    """Called by the client when it gives a request up. Were a silent server left to be a ReadTimeoutError, s3transfer
    and `again` would take it for a broken body and repeat all the repetitions."""
    if isinstance(exception, ReadTimeoutError):
        raise NoAnswerError(endpoint_url=exception.kwargs["endpoint_url"]) from exception
