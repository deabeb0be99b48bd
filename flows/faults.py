"""What a Prefect server does that fails, in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from httpx import HTTPError
from prefect.exceptions import PrefectException

from flows.serve import without_credentials
from qstar_core.errors import ServerError


@contextmanager
def server_faults(fix: str = "see that it runs, then run the same command again") -> Iterator[None]:
    """A server that goes away, or refuses, ends the block with a ServerError."""
    try:
        yield
    except (HTTPError, PrefectException) as error:
        address = without_credentials(os.environ.get("PREFECT_API_URL", "")).removesuffix("/api")
        raise ServerError(f"the Prefect server at {address} failed ({type(error).__name__}: {str(error)[:600]})",
                          fix) from error
