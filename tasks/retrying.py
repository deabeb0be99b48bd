"""Which failures another try can mend: a store that does not answer now may answer in a moment. A wrong setting, a
missing file, refused access, a full disk, a lost race or a damaged object will not change by waiting.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State

from qstar_core.errors import UnavailableError

RETRIES = 3
DELAYS_S: list[float] = [2, 10, 30]


def is_transient(error: BaseException) -> bool:
    return isinstance(error, UnavailableError | ConnectionError | TimeoutError)


def retry_if_transient(task: Any, run: Any, state: State[Any]) -> bool:
    """Prefect's retry condition."""
    try:
        state.result()
    except BaseException as error:  # noqa: BLE001 — whatever was raised is only looked at; the state keeps it
        return is_transient(error)
    return False
