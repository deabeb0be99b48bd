"""One picklable tree of errors.

Every error carries the *problem* (which names the file, row, setting or address) and the *fix*. Both are positional
arguments of the exception, so it survives pickling between processes, and `str(error)` is the one line a user reads.
`exit_code` is what the `qstar` command ends with.
"""

from __future__ import annotations


class QstarError(Exception):
    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        line = f"{self.problem} — {self.fix}" if self.fix else self.problem
        return " ".join(line.split())


class ConfigError(QstarError):
    """A setting is unknown, has a wrong value, or contradicts another one."""

    exit_code = 2


class DataError(QstarError):
    """A dataset, file or row cannot be used."""

    exit_code = 3


class ModelError(QstarError):
    """A checkpoint or tokenizer is missing, broken, or does not fit the other one."""

    exit_code = 4


class EngineError(QstarError):
    """Generation failed: NaN logits, no memory, no progress."""

    exit_code = 5


class NoMemoryError(EngineError):
    """The samples in flight do not fit into memory."""


class StoreError(QstarError):
    """The object store refused, failed or cannot be reached."""

    exit_code = 6


class UnavailableError(StoreError):
    """The store does not answer, or not now; the same request may succeed later."""


class NotFoundError(StoreError):
    """The object does not exist."""


class ConflictError(StoreError):
    """A conditional write lost: the object exists already, or changed since it was read."""


class IntegrityError(StoreError):
    """Bytes do not match the hash that was recorded for them."""


class GateFailedError(QstarError):
    """The gate refused a dataset version; it stays staged and `latest` did not move."""

    exit_code = 7


class ApprovalNeededError(QstarError):
    """The gate warned and the settings ask for a person; the version stays staged until one approves it."""

    exit_code = 9


class NotPromotedError(QstarError):
    """A new student is not shown to be better than the old one, or is worse elsewhere; the old one stays."""

    exit_code = 11


class ServerError(QstarError):
    """A local server (Prefect or the object store) did not start or does not answer."""

    exit_code = 8


class RowError(Exception):
    """One row is at fault, not the run. Its text is the reason that the funnel counts, alike for alike rows."""
