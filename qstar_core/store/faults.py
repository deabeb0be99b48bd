"""Operating system errors as one-line store errors that name the path and the fix.

`reading` turns what is missing into NotFoundError; `writing` says why nothing could be written there. Both end in the
same StoreError for a full disk, a read-only file system and missing rights. `filling` is for files beside the store.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qstar_core.errors import NotFoundError, StoreError

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_BLOCKED = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def _described(error: OSError, path: Path, verb: str) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StoreError(f"no space left to write {path}", "free disk or move the store with store.uri")
    if error.errno == errno.EFBIG:
        return StoreError(f"cannot write to {path}: the file would pass the size limit of this process or disk",
                          "raise `ulimit -f` or move the store with store.uri")
    if error.errno in _FORBIDDEN:
        adjective = "readable" if verb == "read" else "writable"
        return StoreError(f"cannot {verb} {path}: {reason}", f"choose a {adjective} store.uri or correct the rights")
    if error.errno in _BLOCKED:
        return StoreError(f"cannot {verb} {path}: a file stands where a folder is needed, or a folder where a file is",
                          "choose another name, or a writable store.uri")
    return StoreError(f"cannot {verb} {path}: {reason}", "check the disk under store.uri")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _ABSENT:
            raise NotFoundError(f"{path} does not exist", "check the name and store.uri") from error
        raise _described(error, path, "read") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _described(error, path, "write to") from error


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """A full disk below a folder of this machine's own. Everything else that is wrong there is a bug."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(f"no space left in {folder}", "free disk, or set QSTAR_HOME to a folder with room") from error
